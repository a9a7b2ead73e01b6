using System.Buffers;
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
internal abstract class EmbeddingClientDialect : ErrorDialect
{
    public abstract string ContentType { get; }

    /// <summary>The word for this dialect in a backend's <c>dialects</c> setting.</summary>
    public abstract string Family { get; }

    /// <summary>True if a call must name a model. Otherwise the first embedding model serves it.</summary>
    public virtual bool NeedsModel => true;

    /// <summary>True if the answer has one vector for each token instead of one for each text.</summary>
    public virtual bool TokenByToken => false;

    /// <summary>
    /// True if vectors of any model may be cut to fewer dimensions, as the dialect's own server does. Otherwise only those of models that were trained for it.
    /// </summary>
    public virtual bool CutsAnyVector => true;

    /// <summary>Rewrites the error for a body without a readable model into the dialect's own words.</summary>
    public virtual ProxyError Unreadable(ProxyError problem) => problem;

    /// <summary>Parses the whole body. For invalid input it returns the error that names the field, and no call.</summary>
    public abstract ProxyError? Read(ReadOnlySpan<byte> body, out EmbeddingCall? call);

    public abstract void Write(EmbeddingCall call, EmbeddingReply reply, EmbeddingStamp stamp, PooledBody output);

    /// <summary>Only called if <see cref="TokenByToken"/> is true.</summary>
    public virtual void Write(TokenVectors vectors, PooledBody output) => throw new NotSupportedException();

    /// <summary>Rewrites a model's error into the dialect's own words.</summary>
    public abstract ProxyError Explain(VectorError error);

    /// <summary>The error for more inputs than the model takes in one call.</summary>
    public abstract ProxyError TooMany(int inputs, int limit);

    public override void WriteStreamError(ProxyError error, string traceId, IBufferWriter<byte> output) => WriteError(error, traceId, output);
}
