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

    /// <summary>The backend that answered; null if a model of this process answered, or if no host was reached.</summary>
    public string? Backend { get; init; }

    /// <summary>The model's name at the place where it runs; null if the model was not reached.</summary>
    public string? Served { get; init; }

    /// <summary>
    /// A host's own bytes, in the client's dialect. <paramref name="Document"/> is the whole body, if it had to be read to see whether it can be forwarded
    /// unchanged. The code that writes the answer disposes both.
    /// </summary>
    public sealed record Verbatim(BackendReply Reply, PooledBody? Document = null) : VectorAnswer;

    /// <summary>One vector per input.</summary>
    public sealed record Vectors(EmbeddingCall Asked, EmbeddingReply Reply) : VectorAnswer;

    /// <summary>For each input, one vector per token.</summary>
    public sealed record PerToken(TokenVectors Reply) : VectorAnswer;

    public sealed record Scores(RerankCall Asked, RerankReply Reply) : VectorAnswer;

    public sealed record Tokens(IReadOnlyList<IReadOnlyList<TextToken>> Texts) : VectorAnswer;

    /// <summary>One JSON list, joined from the lists of several hosts. The code that writes the answer disposes it.</summary>
    public sealed record Joined(PooledBody List) : VectorAnswer;

    public sealed record Refused(ProxyError Error) : VectorAnswer;

    /// <summary>The same answer, marked with the backend and the model that the reply came from.</summary>
    public VectorAnswer From(BackendReply? reply) => reply is null ? this : this with { Backend = reply.Backend, Served = reply.ServedModel };
}

/// <summary>Answers the calls of one dialect.</summary>
internal interface IVectorRoute
{
    VectorClientDialect Dialect { get; }

    /// <summary>The model for a call that names none; null if the caller may use no model of the right kind.</summary>
    string? FirstModel(Func<string, bool> mayUse);

    /// <summary>Answers a call. The token is cancelled when the client leaves or the process stops.</summary>
    ValueTask<VectorAnswer> AnswerAsync(VectorCall call, CancellationToken cancellation);
}
