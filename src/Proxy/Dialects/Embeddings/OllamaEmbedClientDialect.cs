using System.Buffers;
using System.Text.Json;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects.OllamaChat;
using Proxy.Vectors;

namespace Proxy.Dialects.Embeddings;

/// <summary>Ollama's <c>POST /api/embed</c>, and the older <c>/api/embeddings</c> with one <c>prompt</c> and one vector.</summary>
internal sealed class OllamaEmbedClientDialect(bool older) : EmbeddingClientDialect
{
    public override string ContentType => OllamaChatJson.WholeContentType;
    public override string Family => "ollama";

    public override ProxyError? Read(ReadOnlySpan<byte> body, out EmbeddingCall? call)
    {
        call = null;
        var inputs = new List<EmbedInput>();
        var others = new List<string>();
        var fields = new RequestFields();
        int? dimensions = null;
        bool? truncate = null;
        var problem = BodyMembers.Read(body, others, (ref json, name) =>
        {
            switch (name)
            {
                case "input" when !older:
                    ReadInput(ref json, inputs, fields);
                    return true;
                case "prompt" when older:
                    if (fields.Text(JsonElement.ParseValue(ref json), "prompt") is { Length: > 0 } prompt) inputs.Add(new(prompt));
                    return true;
                case "truncate" when !older:
                    truncate = fields.Flag(JsonElement.ParseValue(ref json), "truncate");
                    return true;
                case "dimensions" when !older:
                    dimensions = fields.Count(JsonElement.ParseValue(ref json), "dimensions");
                    if (dimensions <= 0) dimensions = null; // as in Ollama, 0 counts as not set
                    return true;
                default:
                    return false;
            }
        });
        if ((fields.Problem ?? problem) is { } wrong) return wrong;
        call = new(new(inputs) { Dimensions = dimensions, Truncate = truncate ?? true, Normalize = older ? null : true })
        {
            TruncateSaid = truncate is not null,
            Others = others
        };
        return null;
    }

    public override void Write(EmbeddingCall call, EmbeddingReply reply, EmbeddingStamp stamp, PooledBody output)
    {
        var vectors = reply.Vectors;
        if (older)
        {
            output.Write("""{"embedding":"""u8);
            VectorJson.WriteWide(output, vectors.Count == 0 ? [] : vectors[0]);
            output.Write("}"u8);
            return;
        }

        output.Write("""{"model":"""u8);
        output.Write(ModelName.Json(stamp.Model).Span);
        output.Write(""","embeddings":["""u8);
        for (var i = 0; i < vectors.Count; i++)
        {
            if (i > 0) output.Write(","u8);
            VectorJson.WriteNumbers(output, vectors[i]);
        }

        output.Write("]"u8);
        if (vectors.Count > 0)
        {
            output.Write(""","total_duration":"""u8);
            VectorJson.WriteInteger(output, (long)stamp.Duration.TotalNanoseconds);
            output.Write(""","load_duration":0"""u8); // hosts do not report the load time
            if (reply.Tokens is { } tokens)
            {
                output.Write(""","prompt_eval_count":"""u8);
                VectorJson.WriteInteger(output, tokens);
            }
        }

        output.Write("}"u8);
    }

    public override ProxyError Explain(VectorError error) => error.Kind is VectorErrorKind.TooLong
        ? new(ProxyErrorKind.ContextLengthExceeded, error is { Input: { } input, Tokens: { } tokens, Limit: { } limit }
            ? $"the input length exceeds the context length (input {input}: {tokens} tokens of {limit})" : "the input length exceeds the context length")
        : VectorRefusals.Of(error, older ? "prompt" : "input");

    public override string ErrorContentType(ProxyError error) => ContentType;

    public override ProxyError TooMany(int inputs, int limit) =>
        new(ProxyErrorKind.InvalidRequest, $"{inputs} inputs are more than the {limit} that are taken at once");

    public override void WriteError(ProxyError error, string traceId, IBufferWriter<byte> output)
        => OllamaChatErrors.Write(error is { Kind: ProxyErrorKind.UnknownModel, Model: { } model }
            ? error with { Model = null, Message = $"model \"{model}\" not found, try pulling it first" }
            : error, output);

    private static void ReadInput(ref Utf8JsonReader json, List<EmbedInput> inputs, RequestFields fields)
    {
        if (json.TokenType is JsonTokenType.Null) return;
        if (json.TokenType is JsonTokenType.String && json.ValueSpan.IsEmpty) return; // as in Ollama, an empty text means nothing to embed
        if (!VectorJson.TryReadInputs(ref json, inputs) || inputs.Any(input => input.Text is null)) fields.Fail("input", "invalid input type");
    }
}
