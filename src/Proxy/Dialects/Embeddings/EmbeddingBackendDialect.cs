using Proxy.Buffers;
using Proxy.Chat;

namespace Proxy.Dialects.Embeddings;

/// <summary>The host's side of one way to ask for embeddings. Stateless and shared.</summary>
internal abstract class EmbeddingBackendDialect
{
    /// <summary>Path of the call, from the host's root.</summary>
    public abstract string Path { get; }

    /// <summary>What such a host cannot be asked; null when it can, if perhaps with losses.</summary>
    public abstract ProxyError? Unsayable(EmbeddingCall call);

    /// <summary>Writes the request and names what is lost, for the log.</summary>
    public abstract void WriteRequest(EmbeddingCall call, string model, PooledBody output, List<string> lost);

    /// <summary>Null when it is no answer.</summary>
    public abstract EmbeddingReply? Read(ReadOnlySpan<byte> body);

    protected static ProxyError Refuse(string param, string message) => new(ProxyErrorKind.InvalidRequest, message) { Param = param };

    /// <summary>What no host but TEI can be asked, because the vectors would be others.</summary>
    protected static ProxyError? UnsayableToMost(EmbeddingCall call)
        => call.Request.Normalize is false ? Refuse("normalize", "the host of this model always answers with normalised vectors; leave `normalize` out")
            : call.Request.PromptName is { } prompt ? Refuse("prompt_name", $"the host of this model knows no prompts; write '{prompt}' into the text")
            : null;

    protected static void Lose(EmbeddingCall call, bool truncate, List<string> lost)
    {
        lost.AddRange(call.Others);
        if (truncate && call.TruncateSaid && call.Request.Truncate) lost.Add("truncate");
        if (call.Request.TruncateLeft) lost.Add("truncation_direction");
    }
}
