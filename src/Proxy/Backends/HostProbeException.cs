namespace Proxy.Backends;

/// <summary>Why a host cannot be used, in words that follow its name: "connection refused", "wants a key (401 at /v1/models)".</summary>
internal sealed class HostProbeException(string reason) : Exception(reason)
{
    /// <summary>It may only be busy: a connection there was, but no answer in time.</summary>
    public bool TimedOut { get; init; }
}
