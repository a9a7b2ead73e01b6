using System.Buffers;
using System.Text.Json;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects.OpenAiChat;
using Proxy.Vectors;

namespace Proxy.Dialects.Embeddings;

/// <summary><c>POST /v1/embeddings</c>, for OpenAI's clients.</summary>
internal sealed class OpenAiEmbeddingsClientDialect : EmbeddingClientDialect
{
    public override string ContentType => OpenAiChatJson.WholeContentType;
    public override string Family => "openai";
    public override bool CutsAnyVector => false;

    public override ProxyError? Read(ReadOnlySpan<byte> body, out EmbeddingCall? call)
    {
        call = null;
        var inputs = new List<EmbedInput>();
        var others = new List<string>();
        var fields = new RequestFields();
        int? dimensions = null;
        bool base64 = false, said = false;
        var problem = BodyMembers.Read(body, others, (ref json, name) =>
        {
            switch (name)
            {
                case "input":
                    said = true;
                    if (!VectorJson.TryReadInputs(ref json, inputs))
                        fields.Fail("input", "\"input\" must be a string, a list of strings, a list of token ids, or a list of such lists");
                    return true;
                case "dimensions":
                    dimensions = fields.Count(JsonElement.ParseValue(ref json), "dimensions");
                    if (dimensions < 1) fields.Fail("dimensions", "\"dimensions\" must be at least 1");
                    return true;
                case "encoding_format":
                    var format = fields.Text(JsonElement.ParseValue(ref json), "encoding_format");
                    base64 = format == "base64";
                    if (format is not (null or "float" or "base64"))
                        fields.Fail("encoding_format", $"\"encoding_format\" is '{format}'; it can be float or base64");
                    return true;
                default:
                    return false;
            }
        });
        if (!said && fields.Problem is null) fields.Fail("input", "the body has no \"input\"; say what to embed");
        if (inputs.Count == 0) fields.Fail("input", "\"input\" is an empty list; there is nothing to embed");
        for (var i = 0; i < inputs.Count; i++)
        {
            if (inputs[i].TokenIds is { Length: 0 }) fields.Fail("input", $"input[{i}] is an empty list of token ids");
        }

        if ((fields.Problem ?? problem) is { } wrong) return wrong;
        call = new(new(inputs) { Dimensions = dimensions }) { Base64 = base64, Others = others };
        return null;
    }

    public override void Write(EmbeddingCall call, EmbeddingReply reply, EmbeddingStamp stamp, PooledBody output)
    {
        var vectors = reply.Vectors;
        output.Write("""{"object":"list","data":["""u8);
        for (var i = 0; i < vectors.Count; i++)
        {
            if (i > 0) output.Write(","u8);
            output.Write("""{"object":"embedding","embedding":"""u8);
            if (call.Base64) VectorJson.WriteBase64(output, vectors[i]);
            else VectorJson.WriteNumbers(output, vectors[i]);
            output.Write(""","index":"""u8);
            VectorJson.WriteInteger(output, i);
            output.Write("}"u8);
        }

        output.Write("""],"model":"""u8);
        output.Write(ModelName.Json(stamp.Model).Span);
        output.Write(""","usage":{"prompt_tokens":"""u8);
        VectorJson.WriteInteger(output, reply.Tokens ?? 0);
        output.Write(""","total_tokens":"""u8);
        VectorJson.WriteInteger(output, reply.Tokens ?? 0);
        output.Write("}}"u8);
    }

    public override ProxyError Explain(VectorError error) => VectorRefusals.Of(error, "input");

    public override ProxyError TooMany(int inputs, int limit) =>
        new(ProxyErrorKind.InvalidRequest, $"\"input\" has {inputs} elements, and at most {limit} are taken at once") { Param = "input" };

    public override void WriteError(ProxyError error, string traceId, IBufferWriter<byte> output) => OpenAiChatErrors.Write(error, output);
}
