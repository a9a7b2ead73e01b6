using Proxy.Chat;

namespace Proxy.Backends;

/// <summary>The result of sending a call: a host's reply, which may be the host's refusal, or our own error.</summary>
internal abstract record DispatchResult
{
    private DispatchResult() { }

    public sealed record Answered(BackendReply Reply) : DispatchResult;

    /// <summary>The built-in echo backend was chosen. No host replies; the echo produces the answer.</summary>
    public sealed record Echo(Lease Lease, string Served) : DispatchResult;

    public sealed record Failed(ProxyError Error) : DispatchResult;
}

/// <summary>A request as it is sent to one backend.</summary>
/// <param name="Dialect">Reads the answer; null if the answer is only forwarded.</param>
/// <param name="Errors">Reads a refusal.</param>
/// <param name="Owned">The buffer of the body, if the body was written for this backend.</param>
internal readonly record struct OutgoingCall(string Method, string Path, Buffers.SplicedBody Body, string? ContentType, BackendDialect? Dialect,
    BackendDialect Errors, bool Streams, IDisposable? Owned = null)
{
    /// <summary>The idle limit does not apply: the host may be silent for long in the middle of its answer, while it reads a disk or downloads.</summary>
    public bool Patient { get; init; }

    /// <summary>Only the proxy asked for the stream's token counts.</summary>
    public bool UnaskedUsage { get; init; }
}

/// <summary>What the dispatcher needs to know of a call, whatever its dialect.</summary>
internal interface IDispatchable
{
    CallInfo Info { get; }

    /// <summary>The client's headers that may be forwarded to a host.</summary>
    IReadOnlyList<KeyValuePair<string, string>> Headers { get; }

    /// <summary>Writes the call for one backend, or returns why this backend cannot be asked.</summary>
    ProxyError? Prepare(Backend backend, string served, out OutgoingCall outgoing);
}
