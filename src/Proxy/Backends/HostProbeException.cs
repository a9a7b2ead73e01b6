namespace Proxy.Backends;

/// <summary>Why a host cannot be used, in words that follow its name: "connection refused", "wants a key (401 at /v1/models)".</summary>
internal sealed class HostProbeException(string reason) : Exception(reason)
{
    /// <summary>It may only be busy: a connection there was, but no answer in time.</summary>
    public bool TimedOut { get; init; }

    /// <summary>It was not even asked: this process had no descriptor left for that.</summary>
    public bool IsOurs { get; init; }

    /// <summary>It did answer, if not as it should: it is there.</summary>
    public bool Answered { get; init; }
}
