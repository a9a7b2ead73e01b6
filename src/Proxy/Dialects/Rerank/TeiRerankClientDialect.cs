using System.Buffers;
using System.Text.Json;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects.Embeddings;
using Proxy.Vectors;

namespace Proxy.Dialects.Rerank;

/// <summary><c>POST /rerank</c> of Text Embeddings Inference: takes <c>query</c> and <c>texts</c>, answers with a plain list.</summary>
internal sealed class TeiRerankClientDialect : RerankClientDialect
{
    public override string Family => "tei";
    public override string HostPath => "/rerank";
    public override bool AllowsCosine => false;

    public override ProxyError Unreadable(ProxyError problem) => TeiErrors.Unreadable(problem);

    public override ProxyError? Read(ReadOnlySpan<byte> body, out RerankCall? call)
    {
        call = null;
        var others = new List<string>();
        var fields = new RequestFields();
        IReadOnlyList<string>? texts = null;
        string? query = null;
        bool? bring = null, raw = null, truncate = null;
        var left = false;
        var problem = BodyMembers.Read(body, others, (ref json, name) =>
        {
            if (name is not ("query" or "texts" or "return_text" or "raw_scores" or "truncate" or "truncation_direction")) return false;
            var value = JsonElement.ParseValue(ref json);
            switch (name)
            {
                case "query": query = fields.Text(value, name); break;
                case "texts": texts = fields.IsList(value, name) ? fields.Texts(value, name) : []; break;
                case "return_text": bring = fields.Flag(value, name); break;
                case "raw_scores": raw = fields.Flag(value, name); break;
                case "truncate": truncate = fields.Flag(value, name); break;
                default: left = TeiBody.IsLeft(fields, value); break;
            }

            return true;
        });
        if (fields.Problem is { } wrong) return TeiErrors.Misfitting(wrong.Param!, wrong.Message);
        if (problem is not null) return TeiErrors.Unreadable(problem);
        if (query is null) return TeiErrors.Missing("query");
        if (texts is null) return TeiErrors.Missing("texts");
        if (texts.Count == 0) return TeiErrors.IsEmpty("texts", validated: false);
        call = new([new(query, texts) { RawScores = raw ?? false, Truncate = truncate ?? true, TruncateLeft = left }])
        {
            ReturnDocuments = bring ?? false,
            Others = others
        };
        return null;
    }

    public override void Write(RerankCall call, RerankReply reply, RerankStamp stamp, PooledBody output)
    {
        using var json = WireJson.NewWriter(output);
        json.WriteStartArray();
        foreach (var result in reply.Results)
        {
            json.WriteStartObject();
            json.WriteNumber("index"u8, result.Index);
            if (call.ReturnDocuments) json.WriteString("text"u8, call.Document(result.Index));
            json.WriteNumber("score"u8, result.Score);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    public override ProxyError Explain(VectorError error) =>
        error.Kind is VectorErrorKind.WrongKind ? TeiErrors.WrongKind("model is not a re-ranker model") : TeiErrors.Explain(error);

    public override ProxyError TooMany(int documents, int limit) => TeiErrors.TooMany(documents, limit);

    public override void WriteError(ProxyError error, string traceId, IBufferWriter<byte> output) => TeiErrors.Write(error, output);

    public override int StatusOf(ProxyError error) => TeiErrors.StatusOf(error);

    public override string ErrorContentType(ProxyError error) => TeiErrors.ContentType(error);
}
