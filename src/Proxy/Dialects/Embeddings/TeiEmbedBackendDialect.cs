using System.Text.Json;
using Proxy.Buffers;
using Proxy.Chat;

namespace Proxy.Dialects.Embeddings;

/// <summary>A TEI host's <c>/embed</c>. Unlike its <c>/v1/embeddings</c> it has a <c>truncate</c> member. It does not report token counts.</summary>
internal sealed class TeiEmbedBackendDialect : EmbeddingBackendDialect
{
    public override string Path => "/embed";

    public override ProxyError? Unsayable(EmbeddingCall call) => null;

    public override void WriteRequest(EmbeddingCall call, string model, PooledBody output, List<string> lost)
    {
        var request = call.Request;
        using var json = WireJson.NewWriter(output);
        json.WriteStartObject();
        json.WritePropertyName("inputs"u8);
        VectorJson.WriteInputs(json, request.Inputs);
        json.WriteBoolean("truncate"u8, request.Truncate);
        if (request.TruncateLeft) json.WriteString("truncation_direction"u8, "left"u8);
        if (request.Normalize is false) json.WriteBoolean("normalize"u8, false);
        json.WriteOptional("prompt_name"u8, request.PromptName);
        json.WriteOptional("dimensions"u8, request.Dimensions);
        json.WriteEndObject();
        lost.AddRange(call.Others);
    }

    public override EmbeddingReply? Read(ReadOnlySpan<byte> body)
    {
        try
        {
            var json = WireJson.Open(body);
            return VectorRows.Read(ref json, body.Length) is { } vectors ? new(vectors, null) : null;
        }
        catch (Exception problem) when (problem is JsonException or InvalidOperationException)
        {
            return null;
        }
    }
}
