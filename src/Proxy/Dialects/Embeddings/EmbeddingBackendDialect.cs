using Proxy.Buffers;
using Proxy.Chat;

namespace Proxy.Dialects.Embeddings;

/// <summary>The host's side of one embeddings API. Stateless and shared.</summary>
internal abstract class EmbeddingBackendDialect
{
    /// <summary>The path of the call, from the host's root.</summary>
    public abstract string Path { get; }

    /// <summary>The error if the host cannot handle this call. Null if it can, even if members get lost.</summary>
    public abstract ProxyError? Unsayable(EmbeddingCall call);

    /// <summary>Writes the request and adds the names of lost members, for the log.</summary>
    public abstract void WriteRequest(EmbeddingCall call, string model, PooledBody output, List<string> lost);

    /// <summary>Null if the body is not an answer.</summary>
    public abstract EmbeddingReply? Read(ReadOnlySpan<byte> body);

    protected static ProxyError Refuse(string param, string message) => new(ProxyErrorKind.InvalidRequest, message) { Param = param };

    /// <summary>Refuses what only a TEI host supports, because without it the vectors would be different ones.</summary>
    protected static ProxyError? UnsayableToMost(EmbeddingCall call)
        => call.Request.Normalize is false ? Refuse("normalize", "the host of this model always answers with normalised vectors; leave `normalize` out")
            : call.Request.PromptName is { } prompt ? Refuse("prompt_name", $"the host of this model has no named prompts; write '{prompt}' into the text")
            : null;

    protected static void Lose(EmbeddingCall call, bool truncate, List<string> lost)
    {
        lost.AddRange(call.Others);
        lost.AddIf(truncate && call.TruncateSaid && call.Request.Truncate, "truncate");
        lost.AddIf(call.Request.TruncateLeft, "truncation_direction");
    }
}
