namespace Proxy.Backends;

/// <summary>Why a host cannot be used, as a text that follows its name: "connection refused", "wants a key (401 at /v1/models)".</summary>
internal sealed class HostProbeException(string reason) : Exception(reason)
{
    /// <summary>There was a connection but no answer in time, so the host may only be busy.</summary>
    public bool TimedOut { get; init; }

    /// <summary>The host was not asked, because this process had no file descriptor left.</summary>
    public bool IsOurs { get; init; }

    /// <summary>The host answered, though not as it should, so it can be reached.</summary>
    public bool Answered { get; init; }
}
