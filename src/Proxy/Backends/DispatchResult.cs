using Proxy.Chat;

namespace Proxy.Backends;

/// <summary>What came of sending a call: a host's reply (its own refusals included), or our error.</summary>
internal abstract record DispatchResult
{
    private DispatchResult() { }

    public sealed record Answered(BackendReply Reply) : DispatchResult;

    /// <summary>The backend inside the program was chosen; it has no reply, it answers itself.</summary>
    public sealed record Echo(Lease Lease, string Served) : DispatchResult;

    public sealed record Failed(ProxyError Error) : DispatchResult;
}

/// <summary>A request as one backend is to get it.</summary>
/// <param name="Dialect">How to read the answer; null when it is only passed on.</param>
/// <param name="Errors">How to read a refusal.</param>
/// <param name="Owned">What holds the body's bytes, if they were written for this backend.</param>
internal readonly record struct OutgoingCall(string Method, string Path, Buffers.SplicedBody Body, string? ContentType, BackendDialect? Dialect, BackendDialect Errors, bool Streams, IDisposable? Owned = null)
{
    /// <summary>The host may be silent for as long as it likes in the middle of its answer: it reads a disk, or loads from afar.</summary>
    public bool Patient { get; init; }

    /// <summary>The tokens of the stream are counted for us alone.</summary>
    public bool UnaskedUsage { get; init; }
}

/// <summary>What the dispatcher needs to know of a call, whatever its dialect.</summary>
internal interface IDispatchable
{
    CallInfo Info { get; }

    /// <summary>The client's headers that may cross to a host.</summary>
    IReadOnlyList<KeyValuePair<string, string>> Headers { get; }

    /// <summary>Writes the call for one backend, or says why that one cannot be asked.</summary>
    ProxyError? Prepare(Backend backend, string served, out OutgoingCall outgoing);
}
