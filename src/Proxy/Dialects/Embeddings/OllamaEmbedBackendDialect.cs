using System.Text.Json;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Vectors;

namespace Proxy.Dialects.Embeddings;

/// <summary>An Ollama host's <c>/api/embed</c>.</summary>
internal sealed class OllamaEmbedBackendDialect : EmbeddingBackendDialect
{
    public override string Path => "/api/embed";

    public override ProxyError? Unsayable(EmbeddingCall call)
        => call.Request.Inputs.Any(input => input.TokenIds is not null)
            ? Refuse("input", "the host of this model takes texts only, no token ids")
            : UnsayableToMost(call);

    public override void WriteRequest(EmbeddingCall call, string model, PooledBody output, List<string> lost)
    {
        using var json = WireJson.NewWriter(output);
        json.WriteStartObject();
        json.WriteString("model"u8, model);
        json.WritePropertyName("input"u8); // always a list: as a plain string, an empty text would count as no input
        VectorJson.WriteInputs(json, call.Request.Inputs);
        json.WriteBoolean("truncate"u8, call.Request.Truncate);
        json.WriteOptional("dimensions"u8, call.Request.Dimensions);
        json.WriteEndObject();
        Lose(call, truncate: false, lost);
    }

    public override EmbeddingReply? Read(ReadOnlySpan<byte> body)
    {
        try
        {
            var json = WireJson.Open(body);
            if (json.TokenType is not JsonTokenType.StartObject) return null;
            VectorBatch? vectors = null;
            int? tokens = null;
            while (json.Read() && json.TokenType is JsonTokenType.PropertyName)
            {
                if (json.ValueTextEquals("prompt_eval_count"u8)) tokens = json.ReadInt() ?? tokens;
                else if (!json.ValueTextEquals("embeddings"u8)) json.Skip();
                else if (json.Read()) vectors = VectorRows.Read(ref json, body.Length);
            }

            return vectors is null ? null : new(vectors, tokens);
        }
        catch (Exception problem) when (problem is JsonException or InvalidOperationException)
        {
            return null;
        }
    }
}

/// <summary>Reads a list of vectors that all have the same length.</summary>
internal static class VectorRows
{
    /// <summary>Reads the list at the reader's position. Null if there is none. <paramref name="bytes"/> is its approximate length.</summary>
    public static VectorBatch? Read(ref Utf8JsonReader json, int bytes)
    {
        if (json.TokenType is not JsonTokenType.StartArray) return null;
        var values = new FloatList(bytes / 10);
        var dimensions = 0;
        while (json.Read() && json.TokenType is not JsonTokenType.EndArray)
        {
            var before = values.Count;
            if (!VectorJson.TryReadVector(ref json, ref values)) return null;
            var length = values.Count - before;
            if (length == 0 || (dimensions != 0 && length != dimensions)) return null;
            dimensions = length;
        }

        return dimensions == 0 ? null : new(values.Memory, dimensions, []);
    }
}
