using Proxy.Chat;
using Proxy.Vectors;

namespace Proxy.VectorRoutes;

/// <summary>A model that runs at hosts, as one call uses it.</summary>
internal abstract class HostModel(VectorCall call, VectorModelKind kind) : IVectorModel
{
    protected VectorCall Call => call;

    /// <summary>The call as hosts see it: with another <c>traceparent</c>, if there is one.</summary>
    protected VectorCall CallUnder(string? traceParent) => traceParent is null ? call : call with { Info = call.Info with { TraceParent = traceParent } };

    /// <summary>
    /// What the hosts have reported so far: the context length, if one of them has. The number of inputs is not limited, because a call is sent in parts.
    /// </summary>
    public VectorModelInfo Info => new(call.Model, kind)
    {
        MaxInputLength = call.Resolution.Candidates.Select(backend => backend.Learned(call.Resolution.Served)?.ContextLength)
            .FirstOrDefault(static length => length is not null) ?? int.MaxValue,
        MaxInputs = int.MaxValue,
        Matryoshka = Matryoshka.Knows(call.Resolution.Served),
    };

    public ValueTask<(IReadOnlyList<IReadOnlyList<TextToken>>? Tokens, VectorError? Error)> TokenizeAsync(IReadOnlyList<string> texts, bool special,
        CancellationToken cancellation)
        => new((null, new(VectorErrorKind.WrongKind, $"only a host has the tokenizer of '{ModelName.Shown(call.Model)}'")));

    /// <summary>Turns a refusal into an error for a caller inside this process. Throws if the caller cancelled.</summary>
    protected static VectorError Explain(VectorAnswer answer, CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        var error = ((VectorAnswer.Refused)answer).Error;
        var kind = error switch
        {
            { Kind: ProxyErrorKind.ContextLengthExceeded } or { Kind: ProxyErrorKind.HostRefused, Status: 413 } or { Code: "context_length_exceeded" } =>
                VectorErrorKind.TooLong,
            { Kind: ProxyErrorKind.QueueFull or ProxyErrorKind.RateLimited } or { Kind: ProxyErrorKind.HostRefused, Status: 429 or 503 } =>
                VectorErrorKind.Overloaded,
            { Kind: ProxyErrorKind.InvalidRequest, Param: "prompt_name" } => VectorErrorKind.UnknownPrompt,
            { Kind: ProxyErrorKind.InvalidRequest or ProxyErrorKind.HostRefused, Param: "dimensions" } => VectorErrorKind.InvalidDimensions,
            { Kind: ProxyErrorKind.InvalidRequest } or { Kind: ProxyErrorKind.HostRefused, Status: < 500 } => VectorErrorKind.InvalidInput,
            { Kind: ProxyErrorKind.NotImplemented } => VectorErrorKind.WrongKind,
            _ => VectorErrorKind.Failed,
        };
        return new(kind, error.Message);
    }
}
