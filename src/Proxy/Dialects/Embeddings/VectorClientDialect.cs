using System.Buffers;
using Proxy.Chat;
using Proxy.Vectors;

namespace Proxy.Dialects.Embeddings;

/// <summary>The client's side of one way to ask for vectors or scores. Stateless and shared.</summary>
internal abstract class VectorClientDialect : ErrorDialect
{
    /// <summary>The word under which a backend's <c>dialects</c> list it.</summary>
    public abstract string Family { get; }

    /// <summary>Content type of an answer.</summary>
    public virtual string ContentType => "application/json";

    /// <summary>A call must name a model; otherwise the first of the right kind serves it.</summary>
    public virtual bool NeedsModel => true;

    /// <summary>The error for a body that does not even name its model, in the dialect's own words.</summary>
    public virtual ProxyError Unreadable(ProxyError problem) => problem;

    /// <summary>A model's refusal, in the dialect's own words.</summary>
    public abstract ProxyError Explain(VectorError error);

    /// <summary>The error for more inputs, or documents, than the model takes in one call.</summary>
    public abstract ProxyError TooMany(int inputs, int limit);

    public override void WriteStreamError(ProxyError error, string traceId, IBufferWriter<byte> output) => WriteError(error, traceId, output);
}
