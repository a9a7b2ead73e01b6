using System.Buffers;
using System.Text.Json;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects.Embeddings;
using Proxy.Dialects.OpenAiChat;
using Proxy.Vectors;

namespace Proxy.Dialects.Rerank;

/// <summary>vLLM's <c>/score</c>: one text against many, or pairs, scored in the request's order.</summary>
internal sealed class ScoreClientDialect : RerankClientDialect
{
    public override string HostPath => "/v1/score";
    public override bool Sorts => false;
    public override bool AllowsCosine => false;

    public override ProxyError? Read(ReadOnlySpan<byte> body, out RerankCall? call)
    {
        call = null;
        var others = new List<string>();
        var fields = new RequestFields();
        IReadOnlyList<string>? queries = null, documents = null;
        var problem = BodyMembers.Read(body, others, (ref json, name) =>
        {
            switch (name)
            {
                case "text_1" or "queries" or "data_1":
                    queries = fields.Texts(JsonElement.ParseValue(ref json), name);
                    return true;
                case "text_2" or "documents" or "items" or "data_2":
                    documents = fields.Texts(JsonElement.ParseValue(ref json), name);
                    return true;
                default:
                    return false;
            }
        });
        if (queries is not { Count: > 0 } && fields.Problem is null)
            fields.Fail("text_1", "the body has no \"text_1\" (or \"queries\"); say what to score against");
        if (documents is not { Count: > 0 }) fields.Fail("text_2", "the body has no \"text_2\" (or \"documents\"); say what to score");
        if (fields.Problem is null && queries!.Count > 1 && queries.Count != documents!.Count)
            fields.Fail("text_2", $"{queries.Count} queries for {documents.Count} documents: send one query, or one for each document");
        if ((problem ?? fields.Problem) is { } wrong) return wrong;
        call = new(queries!.Count == 1
            ? [new(queries[0], documents!)]
            : [.. queries.Zip(documents!, static (query, document) => new RerankRequest(query, [document]))])
        {
            Others = others
        };
        return null;
    }

    public override void Write(RerankCall call, RerankReply reply, RerankStamp stamp, PooledBody output)
    {
        using var json = WireJson.NewWriter(output);
        json.WriteStartObject();
        json.WriteString("id"u8, "score-" + stamp.Id);
        json.WriteString("object"u8, "list"u8);
        json.WriteNumber("created"u8, stamp.Created.ToUnixTimeSeconds());
        json.WriteString("model"u8, stamp.Model);
        json.WriteStartArray("data"u8);
        foreach (var result in reply.Results)
        {
            json.WriteStartObject();
            json.WriteNumber("index"u8, result.Index);
            json.WriteString("object"u8, "score"u8);
            json.WriteNumber("score"u8, result.Score);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        WriteUsage(json, reply);
        json.WriteEndObject();
    }

    public override ProxyError Explain(VectorError error) => VectorRefusals.Of(error, "text_2");

    public override ProxyError TooMany(int documents, int limit) =>
        new(ProxyErrorKind.InvalidRequest, $"\"text_2\" has {documents} elements, and at most {limit} are taken at once") { Param = "text_2" };

    public override void WriteError(ProxyError error, string traceId, IBufferWriter<byte> output) => OpenAiChatErrors.Write(error, output);
}
