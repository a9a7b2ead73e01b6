using System.Buffers;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Vectors;

namespace Proxy.Dialects.Embeddings;

/// <summary>TEI's error format, for those of its paths that have no client dialect.</summary>
internal sealed class TeiWords : VectorClientDialect
{
    public static readonly TeiWords Instance = new();

    public override string Family => "tei";
    public override bool NeedsModel => false;

    public override ProxyError Unreadable(ProxyError problem) => TeiErrors.Unreadable(problem);

    public override ProxyError Explain(VectorError error) => TeiErrors.Explain(error);

    public override ProxyError TooMany(int inputs, int limit) => TeiErrors.TooMany(inputs, limit);

    public override void WriteError(ProxyError error, string traceId, IBufferWriter<byte> output) => TeiErrors.Write(error, output);

    public override int StatusOf(ProxyError error) => TeiErrors.StatusOf(error);

    public override string ErrorContentType(ProxyError error) => TeiErrors.ContentType(error);
}

/// <summary>Writes the answers of <c>/info</c> and <c>/tokenize</c>.</summary>
internal static class TeiAnswers
{
    public static void WriteInfo(VectorModelInfo model, string version, PooledBody output)
    {
        using var json = WireJson.NewWriter(output);
        json.WriteStartObject();
        json.WriteString("model_id"u8, model.Name);
        json.WriteNull("model_sha"u8);
        json.WriteString("model_dtype"u8, model.Variant ?? "float32");
        json.WriteString("served_model_name"u8, model.Name);
        json.WriteStartObject("model_type"u8);
        if (model.Kind is VectorModelKind.Rerank)
        {
            json.WriteStartObject("reranker"u8);
            json.WriteObject("id2label"u8, "0"u8, "LABEL_0");
            json.WriteObject("label2id"u8, "LABEL_0"u8, 0);
            json.WriteEndObject();
        }
        else
        {
            json.WriteObject("embedding"u8, "pooling"u8, model.Pooling switch { Pooling.FirstToken => "cls", Pooling.LastToken => "last_token", _ => "mean" });
        }

        json.WriteEndObject();
        json.WriteNumber("max_concurrent_requests"u8, 512);
        json.WriteNumber("max_input_length"u8, model.MaxInputLength);
        json.WriteNumber("max_batch_tokens"u8, model.MaxBatchTokens);
        json.WriteNull("max_batch_requests"u8);
        json.WriteNumber("max_client_batch_size"u8, model.MaxInputs);
        json.WriteBoolean("auto_truncate"u8, true);
        json.WriteNumber("tokenization_workers"u8, Environment.ProcessorCount);
        json.WriteString("version"u8, version);
        json.WriteNull("sha"u8);
        json.WriteNull("docker_label"u8);
        json.WriteEndObject();
    }

    public static void WriteTokens(IReadOnlyList<IReadOnlyList<TextToken>> texts, PooledBody output)
    {
        using var json = WireJson.NewWriter(output);
        json.WriteStartArray();
        foreach (var tokens in texts)
        {
            json.WriteStartArray();
            foreach (var token in tokens)
            {
                json.WriteStartObject();
                json.WriteNumber("id"u8, token.Id);
                json.WriteString("text"u8, token.Text);
                json.WriteBoolean("special"u8, token.Special);
                if (token.Start is { } start) json.WriteNumber("start"u8, start);
                else json.WriteNull("start"u8);
                if (token.Stop is { } stop) json.WriteNumber("stop"u8, stop);
                else json.WriteNull("stop"u8);
                json.WriteEndObject();
            }

            json.WriteEndArray();
        }

        json.WriteEndArray();
    }
}
