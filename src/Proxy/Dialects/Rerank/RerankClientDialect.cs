using System.Text.Json;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects.Embeddings;
using Proxy.Vectors;

namespace Proxy.Dialects.Rerank;

/// <summary>A call to rerank, as a client made it. Several requests mean pairs, each of one query and one document.</summary>
internal sealed record RerankCall(IReadOnlyList<RerankRequest> Requests)
{
    /// <summary>The number of results to return, best first. Null means all.</summary>
    public int? Top { get; init; }

    /// <summary>True if each result includes its document.</summary>
    public bool ReturnDocuments { get; init; }

    /// <summary>True if the documents came as objects, which not every host accepts.</summary>
    public bool Objects { get; init; }

    /// <summary>Names of members that only a host of the client's dialect understands.</summary>
    public IReadOnlyList<string> Others { get; init; } = [];

    /// <summary>The only request, unless the call consists of pairs.</summary>
    public RerankRequest Request => Requests[0];

    public string Document(int index) => Requests.Count > 1 ? Requests[index].Documents[0] : Request.Documents[index];
}

/// <summary>The score of one document.</summary>
internal readonly record struct RerankResult(int Index, float Score);

/// <summary>The results in the order in which the client gets them.</summary>
internal sealed record RerankReply(IReadOnlyList<RerankResult> Results, int? Tokens, RerankMethod? Method);

/// <summary>The parts in which two otherwise equal answers differ.</summary>
internal readonly record struct RerankStamp(string Model, string Id, DateTimeOffset Created);

/// <summary>The client's side of one rerank or score API. Stateless and shared.</summary>
internal abstract class RerankClientDialect : VectorClientDialect
{
    public override string Family => "openai";

    public override bool NeedsModel => false;

    /// <summary>The path at a host of that family.</summary>
    public virtual string HostPath => "/v1/rerank";

    /// <summary>True if results are sorted best first; otherwise they keep the request's order.</summary>
    public virtual bool Sorts => true;

    /// <summary>True if an answer can say that its scores are cosine similarities instead of a reranker's.</summary>
    public virtual bool AllowsCosine => true;

    public abstract ProxyError? Read(ReadOnlySpan<byte> body, out RerankCall? call);

    public abstract void Write(RerankCall call, RerankReply reply, RerankStamp stamp, PooledBody output);

    /// <summary>Writes the member <c>usage</c>.</summary>
    protected static void WriteUsage(Utf8JsonWriter json, RerankReply reply)
    {
        json.WriteStartObject("usage"u8);
        json.WriteNumber("prompt_tokens"u8, reply.Tokens ?? 0);
        json.WriteNumber("total_tokens"u8, reply.Tokens ?? 0);
        json.WriteEndObject();
    }
}
