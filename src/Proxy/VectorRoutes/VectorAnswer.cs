using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects.Embeddings;
using Proxy.Dialects.Rerank;
using Proxy.Vectors;

namespace Proxy.VectorRoutes;

/// <summary>What a route of vector calls returns. Nothing below Http writes to a client.</summary>
internal abstract record VectorAnswer
{
    private VectorAnswer() { }

    /// <summary>The backend that answered; null where a model of this process did, or no host was reached.</summary>
    public string? Backend { get; init; }

    /// <summary>The model's name where it runs; null where it was not reached.</summary>
    public string? Served { get; init; }

    /// <summary>A host's own bytes, in the client's dialect. <paramref name="Document"/> is the whole body, where it had to be read to see whether it can stay as it is. Whoever writes them disposes both.</summary>
    public sealed record Verbatim(BackendReply Reply, PooledBody? Document = null) : VectorAnswer;

    /// <summary>One vector an input.</summary>
    public sealed record Vectors(EmbeddingCall Asked, EmbeddingReply Reply) : VectorAnswer;

    /// <summary>One vector a token of each input.</summary>
    public sealed record PerToken(TokenVectors Reply) : VectorAnswer;

    public sealed record Scores(RerankCall Asked, RerankReply Reply) : VectorAnswer;

    public sealed record Tokens(IReadOnlyList<IReadOnlyList<TextToken>> Texts) : VectorAnswer;

    /// <summary>One JSON list, of all that several hosts' lists hold. Whoever writes it disposes it.</summary>
    public sealed record Joined(PooledBody List) : VectorAnswer;

    public sealed record Refused(ProxyError Error) : VectorAnswer;

    /// <summary>The same, with the host that the reply came from.</summary>
    public VectorAnswer From(BackendReply? reply) => reply is null ? this : this with { Backend = reply.Backend, Served = reply.ServedModel };
}

/// <summary>Answers the calls of one dialect.</summary>
internal interface IVectorRoute
{
    VectorClientDialect Dialect { get; }

    /// <summary>The model of a call that names none; null when there is none of the right kind that the caller may use.</summary>
    string? FirstModel(Func<string, bool> mayUse);

    /// <summary>Cancelled when the client left or the process stops.</summary>
    ValueTask<VectorAnswer> AnswerAsync(VectorCall call, CancellationToken cancellation);
}
