using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Vectors;

namespace Proxy.Dialects.Embeddings;

/// <summary>A call to embed, as a client made it. No inputs: the dialect's own server answers with nothing, and so do we.</summary>
internal sealed record EmbeddingCall(EmbedRequest Request)
{
    /// <summary>The vectors are wanted as base64 of float32, little-endian.</summary>
    public bool Base64 { get; init; }

    /// <summary>Whether to cut what is too long was said, and not only meant.</summary>
    public bool TruncateSaid { get; init; }

    /// <summary>Members that mean something to a host of the client's dialect only.</summary>
    public IReadOnlyList<string> Others { get; init; } = [];
}

/// <summary>Vectors, and the tokens that all inputs together had; null where a host did not say.</summary>
internal sealed record EmbeddingReply(VectorBatch Vectors, int? Tokens);

/// <summary>What makes two identical answers differ on the wire: the model as the client named it, and how long it took.</summary>
internal readonly record struct EmbeddingStamp(string Model, TimeSpan Duration);

/// <summary>The client's side of one way to ask for embeddings. Stateless and shared.</summary>
internal abstract class EmbeddingClientDialect : VectorClientDialect
{
    /// <summary>One vector a token, not one a text.</summary>
    public virtual bool TokenByToken => false;

    /// <summary>The dialect's own server cuts vectors of any model; otherwise only those that were made to be cut are.</summary>
    public virtual bool CutsAnyVector => true;

    /// <summary>Parses the whole body. On bad input returns the error that names the field, and no call.</summary>
    public abstract ProxyError? Read(ReadOnlySpan<byte> body, out EmbeddingCall? call);

    public abstract void Write(EmbeddingCall call, EmbeddingReply reply, EmbeddingStamp stamp, PooledBody output);

    /// <summary>Only where <see cref="TokenByToken"/>.</summary>
    public virtual void Write(TokenVectors vectors, PooledBody output) => throw new NotSupportedException();
}
