using System.Buffers;
using System.Text.Json;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Vectors;

namespace Proxy.Dialects.Embeddings;

/// <summary><c>POST /embed</c> of Text Embeddings Inference, and <c>/embed_all</c>, which answers with one vector for each token.</summary>
internal sealed class TeiEmbedClientDialect(bool tokenByToken) : EmbeddingClientDialect
{
    public override string Family => "tei";
    public override bool NeedsModel => false;
    public override bool TokenByToken => tokenByToken;

    public override ProxyError Unreadable(ProxyError problem) => TeiErrors.Unreadable(problem);

    public override ProxyError? Read(ReadOnlySpan<byte> body, out EmbeddingCall? call)
    {
        call = null;
        var inputs = new List<EmbedInput>();
        var others = new List<string>();
        var fields = new RequestFields();
        int? dimensions = null;
        bool? truncate = null, normalize = null;
        bool left = false, said = false;
        string? prompt = null;
        var problem = BodyMembers.Read(body, others, (ref json, name) =>
        {
            switch (name)
            {
                case "inputs":
                    said = true;
                    if (!VectorJson.TryReadInputs(ref json, inputs)) fields.Fail("inputs", "inputs: data did not match any variant of untagged enum Input");
                    return true;
                case "truncate":
                    truncate = fields.Flag(JsonElement.ParseValue(ref json), name);
                    return true;
                case "truncation_direction":
                    left = TeiBody.IsLeft(fields, JsonElement.ParseValue(ref json));
                    return true;
                case "prompt_name":
                    prompt = fields.Text(JsonElement.ParseValue(ref json), name);
                    return true;
                case "normalize" when !tokenByToken:
                    normalize = fields.Flag(JsonElement.ParseValue(ref json), name);
                    return true;
                case "dimensions" when !tokenByToken:
                    dimensions = fields.Count(JsonElement.ParseValue(ref json), name);
                    return true;
                default:
                    return false;
            }
        });
        if (fields.Problem is { } wrong) return TeiErrors.Misfitting(wrong.Param!, wrong.Message);
        if (problem is not null) return TeiErrors.Unreadable(problem);
        if (!said) return TeiErrors.Missing("inputs");
        if (inputs.Count == 0 || inputs.Any(input => input.Text is { Length: 0 } || input.TokenIds is { Length: 0 })) return TeiErrors.IsEmpty("inputs");
        if (dimensions < 1) return TeiErrors.Invalid("`dimensions` should be positive", "dimensions");
        call = new(new(inputs)
        {
            Dimensions = dimensions,
            Truncate = truncate ?? true,
            TruncateLeft = left,
            Normalize = normalize ?? true,
            PromptName = prompt
        })
        {
            TruncateSaid = truncate is not null,
            Others = others,
        };
        return null;
    }

    public override void Write(EmbeddingCall call, EmbeddingReply reply, EmbeddingStamp stamp, PooledBody output)
    {
        output.Write("["u8);
        for (var i = 0; i < reply.Vectors.Count; i++)
        {
            if (i > 0) output.Write(","u8);
            VectorJson.WriteNumbers(output, reply.Vectors[i]);
        }

        output.Write("]"u8);
    }

    public override void Write(TokenVectors vectors, PooledBody output)
    {
        for (var i = 0; i < vectors.Matrices.Count; i++)
        {
            output.Write(i == 0 ? "["u8 : ","u8);
            var matrix = vectors.Matrices[i].Span;
            for (var at = 0; at < matrix.Length; at += vectors.Dimensions)
            {
                output.Write(at == 0 ? "["u8 : ","u8);
                VectorJson.WriteNumbers(output, matrix.Slice(at, vectors.Dimensions));
            }

            output.Write("]"u8);
        }

        output.Write("]"u8);
    }

    public override ProxyError Explain(VectorError error) =>
        error.Kind is VectorErrorKind.WrongKind ? TeiErrors.WrongKind("Model is not an embedding model") : TeiErrors.Explain(error);

    public override ProxyError TooMany(int inputs, int limit) => TeiErrors.TooMany(inputs, limit);

    public override void WriteError(ProxyError error, string traceId, IBufferWriter<byte> output) => TeiErrors.Write(error, output);

    public override int StatusOf(ProxyError error) => TeiErrors.StatusOf(error);

    public override string ErrorContentType(ProxyError error) => TeiErrors.ContentType(error);
}

/// <summary>Helpers that the bodies of TEI's paths share.</summary>
internal static class TeiBody
{
    public static bool IsLeft(RequestFields fields, JsonElement value)
    {
        var said = fields.Text(value, "truncation_direction");
        if (said is not (null or "left" or "right" or "Left" or "Right"))
            fields.Fail("truncation_direction", $"truncation_direction: unknown variant `{said}`, expected `left` or `right`");
        return said is "left" or "Left";
    }
}
