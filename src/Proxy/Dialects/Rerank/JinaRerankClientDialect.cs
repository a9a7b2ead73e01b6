using System.Buffers;
using System.Text.Json;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects.Embeddings;
using Proxy.Vectors;

namespace Proxy.Dialects.Rerank;

/// <summary>The answer's format, where Cohere's and Jina's differ.</summary>
internal enum RerankFlavour
{
    /// <summary><c>/rerank</c> with <c>documents</c>: results include their documents unless the request says otherwise.</summary>
    Jina,

    /// <summary><c>/v1/rerank</c>: the members of Jina's answer and of Cohere's first version together.</summary>
    Both,

    /// <summary><c>/v2/rerank</c>, Cohere's second version.</summary>
    CohereV2,
}

/// <summary>The rerank API of Cohere and Jina, which vLLM and llama.cpp also offer: <c>query</c>, <c>documents</c>, <c>top_n</c>.</summary>
internal sealed class JinaRerankClientDialect(RerankFlavour flavour) : RerankClientDialect
{
    public override ProxyError? Read(ReadOnlySpan<byte> body, out RerankCall? call)
    {
        call = null;
        var others = new List<string>();
        var fields = new RequestFields();
        var documents = new List<string>();
        string? query = null;
        int? top = null, perDocument = null;
        bool? bring = null, raw = null;
        bool objects = false, said = false;
        var problem = BodyMembers.Read(body, others, (ref json, name) =>
        {
            switch (name)
            {
                case "query":
                    query = fields.Text(JsonElement.ParseValue(ref json), name);
                    return true;
                case "documents":
                    said = true;
                    ReadDocuments(JsonElement.ParseValue(ref json), documents, fields, out objects);
                    return true;
                case "top_n":
                    top = fields.Count(JsonElement.ParseValue(ref json), name);
                    if (top < 0) fields.Fail(name, "\"top_n\" must not be negative");
                    return true;
                case "return_documents":
                    bring = fields.Flag(JsonElement.ParseValue(ref json), name);
                    return true;
                case "raw_scores":
                    raw = fields.Flag(JsonElement.ParseValue(ref json), name);
                    return true;
                case "max_tokens_per_doc":
                    perDocument = fields.Count(JsonElement.ParseValue(ref json), name);
                    return true;
                default:
                    return false;
            }
        });
        if (query is null && fields.Problem is null) fields.Fail("query", "the body has no \"query\"; say what the documents are to be ranked by");
        if (!said) fields.Fail("documents", "the body has no \"documents\"; say what to rank");
        if (documents.Count == 0) fields.Fail("documents", "\"documents\" is an empty list; there is nothing to rank");
        if ((problem ?? fields.Problem) is { } wrong) return wrong;
        call = new([new(query!, documents) { RawScores = raw ?? false, MaxTokensPerDocument = perDocument }])
        {
            Top = top is 0 ? null : top, // as in vLLM, 0 means all
            ReturnDocuments = bring ?? flavour is RerankFlavour.Jina,
            Objects = objects,
            Others = others,
        };
        return null;
    }

    public override void Write(RerankCall call, RerankReply reply, RerankStamp stamp, PooledBody output)
    {
        using var json = WireJson.NewWriter(output);
        json.WriteStartObject();
        json.WriteString("id"u8, stamp.Id);
        if (flavour is not RerankFlavour.CohereV2) json.WriteString("model"u8, stamp.Model);
        json.WriteStartArray("results"u8);
        foreach (var result in reply.Results)
        {
            json.WriteStartObject();
            json.WriteNumber("index"u8, result.Index);
            json.WriteNumber("relevance_score"u8, result.Score);
            if (call.ReturnDocuments) json.WriteObject("document"u8, "text"u8, call.Document(result.Index));
            json.WriteEndObject();
        }

        json.WriteEndArray();
        if (reply.Method is RerankMethod.Cosine) json.WriteString("method"u8, "cosine"u8);
        if (flavour is not RerankFlavour.Jina)
        {
            json.WriteStartObject("meta"u8);
            json.WriteObject("api_version"u8, "version"u8, flavour is RerankFlavour.CohereV2 ? "2" : "1");
            json.WriteObject("billed_units"u8, "search_units"u8, 1);
            json.WriteEndObject();
        }

        if (flavour is not RerankFlavour.CohereV2) WriteUsage(json, reply);
        json.WriteEndObject();
    }

    public override ProxyError Explain(VectorError error) => VectorRefusals.Of(error, "documents");

    public override ProxyError TooMany(int documents, int limit) =>
        new(ProxyErrorKind.InvalidRequest, $"\"documents\" has {documents} elements, and at most {limit} are taken at once") { Param = "documents" };

    /// <summary>Cohere's error format, with a <c>message</c>. Jina's clients read <c>detail</c>.</summary>
    public override void WriteError(ProxyError error, string traceId, IBufferWriter<byte> output)
    {
        using var json = WireJson.NewWriter(output);
        json.WriteStartObject();
        json.WriteString("id"u8, traceId);
        json.WriteString("message"u8, error.Message);
        if (flavour is not RerankFlavour.CohereV2) json.WriteString("detail"u8, error.Message);
        json.WriteEndObject();
    }

    private static void ReadDocuments(JsonElement value, List<string> documents, RequestFields fields, out bool objects)
    {
        objects = false;
        if (!fields.IsList(value, "documents")) return;
        foreach (var item in value.EnumerateArray())
        {
            if (item.ValueKind is JsonValueKind.String)
            {
                documents.Add(item.GetString()!);
            }
            else if (item.ValueKind is JsonValueKind.Object && item.TryGetProperty("text"u8, out var text) && text.ValueKind is JsonValueKind.String)
            {
                objects = true;
                documents.Add(text.GetString()!);
            }
            else
            {
                fields.Fail("documents", $"documents[{documents.Count}] must be a string, or an object with a \"text\"");
                return;
            }
        }
    }
}
