using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Vectors;

namespace Proxy.Dialects.Embeddings;

/// <summary>A call to embed, as a client made it. With no inputs the answer is empty, as it is from the dialect's own server.</summary>
internal sealed record EmbeddingCall(EmbedRequest Request)
{
    /// <summary>True if the client wants the vectors as base64 of little-endian float32.</summary>
    public bool Base64 { get; init; }

    /// <summary>True if the client itself set whether to truncate; false if it is the default.</summary>
    public bool TruncateSaid { get; init; }

    /// <summary>Names of members that only a host of the client's dialect understands.</summary>
    public IReadOnlyList<string> Others { get; init; } = [];
}

/// <summary>The vectors, and the number of tokens of all inputs together. Null if the host did not report it.</summary>
internal sealed record EmbeddingReply(VectorBatch Vectors, int? Tokens);

/// <summary>The parts in which two otherwise equal answers differ: the model's name as the client wrote it, and the duration.</summary>
internal readonly record struct EmbeddingStamp(string Model, TimeSpan Duration);

/// <summary>The client's side of one embeddings API. Stateless and shared.</summary>
internal abstract class EmbeddingClientDialect : VectorClientDialect
{
    /// <summary>True if the answer has one vector for each token instead of one for each text.</summary>
    public virtual bool TokenByToken => false;

    /// <summary>
    /// True if vectors of any model may be cut to fewer dimensions, as the dialect's own server does. Otherwise only those of models that were trained for it.
    /// </summary>
    public virtual bool CutsAnyVector => true;

    /// <summary>Parses the whole body. For invalid input it returns the error that names the field, and no call.</summary>
    public abstract ProxyError? Read(ReadOnlySpan<byte> body, out EmbeddingCall? call);

    public abstract void Write(EmbeddingCall call, EmbeddingReply reply, EmbeddingStamp stamp, PooledBody output);

    /// <summary>Only called if <see cref="TokenByToken"/> is true.</summary>
    public virtual void Write(TokenVectors vectors, PooledBody output) => throw new NotSupportedException();
}
