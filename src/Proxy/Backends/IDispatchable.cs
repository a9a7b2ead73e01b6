using Proxy.Chat;

namespace Proxy.Backends;

/// <summary>A request as it is sent to one backend.</summary>
/// <param name="Dialect">Reads a chat's answer up to its first content; null: the attempt does not look into the body, and the status decides alone.</param>
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
