using System.Text.Json;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Vectors;

namespace Proxy.Dialects.Embeddings;

/// <summary>A host's <c>/v1/embeddings</c>: OpenAI, vLLM, llama.cpp, LM Studio, TEI.</summary>
internal sealed class OpenAiEmbeddingsBackendDialect : EmbeddingBackendDialect
{
    public override string Path => "/v1/embeddings";

    public override ProxyError? Unsayable(EmbeddingCall call) => UnsayableToMost(call);

    public override void WriteRequest(EmbeddingCall call, string model, PooledBody output, List<string> lost)
    {
        using var json = WireJson.NewWriter(output);
        json.WriteStartObject();
        json.WriteString("model"u8, model);
        json.WritePropertyName("input"u8);
        VectorJson.WriteInputs(json, call.Request.Inputs);
        json.WriteString("encoding_format"u8, "float"u8);
        json.WriteOptional("dimensions"u8, call.Request.Dimensions);
        json.WriteEndObject();
        Lose(call, truncate: true, lost);
    }

    public override EmbeddingReply? Read(ReadOnlySpan<byte> body) => OpenAiEmbeddingsAnswer.Read(body);
}

/// <summary>Reads the answer of <c>/v1/embeddings</c>.</summary>
internal static class OpenAiEmbeddingsAnswer
{
    /// <summary>Whether the first vector is base64, and how many numbers it has. Null if there is no vector, or if it has another form.</summary>
    public static (bool Base64, int Dimensions)? Form(ReadOnlySpan<byte> body)
    {
        try
        {
            var json = new Utf8JsonReader(body, WireJson.Reading);
            while (json.Read())
            {
                if (json.TokenType is not JsonTokenType.PropertyName || !json.ValueTextEquals("embedding"u8)) continue;
                json.Read();
                var values = new FloatList(1024);
                var base64 = json.TokenType is JsonTokenType.String;
                return VectorJson.TryReadVector(ref json, ref values) ? (base64, values.Count) : null;
            }
        }
        catch (Exception problem) when (problem is JsonException or InvalidOperationException)
        {
            // Not JSON: left for the client's parser to report.
        }

        return null;
    }

    public static EmbeddingReply? Read(ReadOnlySpan<byte> body)
    {
        try
        {
            var json = WireJson.Open(body);
            if (json.TokenType is not JsonTokenType.StartObject) return null;
            var values = new FloatList(body.Length / 10);
            var order = new List<int>();
            int dimensions = 0;
            int? tokens = null;
            while (json.Read() && json.TokenType is JsonTokenType.PropertyName)
            {
                if (json.ValueTextEquals("data"u8))
                {
                    json.Read();
                    if (json.TokenType is not JsonTokenType.StartArray) return null;
                    while (json.Read() && json.TokenType is JsonTokenType.StartObject)
                    {
                        var before = values.Count;
                        if (!ReadElement(ref json, ref values, order)) return null;
                        var length = values.Count - before;
                        if (length == 0 || (dimensions != 0 && length != dimensions)) return null;
                        dimensions = length;
                    }
                }
                else if (json.ValueTextEquals("usage"u8))
                {
                    tokens = OpenAiChat.OpenAiChatJson.ReadUsage(ref json)?.InputTokens;
                }
                else
                {
                    json.Skip();
                }
            }

            return dimensions == 0 ? null : new(Sorted(values.Memory, dimensions, order), tokens);
        }
        catch (Exception problem) when (problem is JsonException or InvalidOperationException)
        {
            return null;
        }
    }

    private static bool ReadElement(ref Utf8JsonReader json, ref FloatList values, List<int> order)
    {
        int? index = null;
        while (json.Read() && json.TokenType is JsonTokenType.PropertyName)
        {
            if (json.ValueTextEquals("index"u8)) index = json.ReadInt() ?? index;
            else if (!json.ValueTextEquals("embedding"u8)) json.Skip();
            else if (!json.Read() || !VectorJson.TryReadVector(ref json, ref values)) return false;
        }

        order.Add(index ?? order.Count);
        return json.TokenType is JsonTokenType.EndObject;
    }

    /// <summary>Sorts vectors by index: a host that processes inputs in parallel may answer in the order of completion.</summary>
    private static VectorBatch Sorted(ReadOnlyMemory<float> values, int dimensions, List<int> order)
    {
        var batch = new VectorBatch(values, dimensions, []);
        if (order.Select((index, place) => index == place).All(same => same) || !order.Order().SequenceEqual(Enumerable.Range(0, order.Count))) return batch;
        var sorted = new float[values.Length];
        for (var i = 0; i < order.Count; i++) batch[i].CopyTo(sorted.AsSpan(order[i] * dimensions));
        return batch with { Values = sorted };
    }
}
