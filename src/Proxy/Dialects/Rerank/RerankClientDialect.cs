using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects.Embeddings;
using Proxy.Vectors;

namespace Proxy.Dialects.Rerank;

/// <summary>A call to rerank, as a client made it. Several requests: pairs, each of one query and one document.</summary>
internal sealed record RerankCall(IReadOnlyList<RerankRequest> Requests)
{
    /// <summary>Results to answer with, the best ones; null: all.</summary>
    public int? Top { get; init; }

    /// <summary>Each result brings its document along.</summary>
    public bool ReturnDocuments { get; init; }

    /// <summary>Documents came as objects, which not every host takes.</summary>
    public bool Objects { get; init; }

    /// <summary>Members that mean something to a host of the client's dialect only.</summary>
    public IReadOnlyList<string> Others { get; init; } = [];

    /// <summary>The only one there is, but for pairs.</summary>
    public RerankRequest Request => Requests[0];

    public string Document(int index) => Requests.Count > 1 ? Requests[index].Documents[0] : Request.Documents[index];
}

/// <summary>One document's score.</summary>
internal readonly record struct RerankResult(int Index, float Score);

/// <summary>The results in the order in which they go to the client.</summary>
internal sealed record RerankReply(IReadOnlyList<RerankResult> Results, int? Tokens, RerankMethod? Method);

/// <summary>What makes two identical answers differ on the wire.</summary>
internal readonly record struct RerankStamp(string Model, string Id, DateTimeOffset Created);

/// <summary>The client's side of one way to ask for scores. Stateless and shared.</summary>
internal abstract class RerankClientDialect : VectorClientDialect
{
    public override string Family => "openai";

    public override bool NeedsModel => false;

    /// <summary>The path at a host of that family.</summary>
    public virtual string HostPath => "/v1/rerank";

    /// <summary>Best first; otherwise in the order of the request.</summary>
    public virtual bool Sorts => true;

    /// <summary>An answer can say that its scores are no reranker's.</summary>
    public virtual bool AllowsCosine => true;

    public abstract ProxyError? Read(ReadOnlySpan<byte> body, out RerankCall? call);

    public abstract void Write(RerankCall call, RerankReply reply, RerankStamp stamp, PooledBody output);
}
