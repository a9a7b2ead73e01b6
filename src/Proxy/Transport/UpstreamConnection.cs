namespace Proxy.Transport;

/// <summary>What is remembered of a connection to a host over the requests that it serves, one at a time.</summary>
internal abstract class UpstreamConnection
{
    // Of a host that does not say how long it keeps an idle connection.
    private const int AssumedKeepAliveSeconds = 60;

    private int? keepAlive;
    private long heard;
    private long? suspectedAt;

    /// <summary>It has served a request before.</summary>
    public bool IsReused { get; private set; }

    /// <summary>When it must not be used any more, in milliseconds of the ticker. Set while idle.</summary>
    public long ExpiresAt { get; private set; }

    /// <summary>A suspect that has brought nothing since.</summary>
    public bool IsSilentSuspect => suspectedAt == heard;

    /// <summary>Bytes came.</summary>
    public void Hear() => heard++;

    /// <summary>Its host has stopped answering.</summary>
    public void Suspect() => suspectedAt = heard;

    public void EndSuspicion() => suspectedAt = null;

    /// <summary>A request is over: whether it may wait for another one.</summary>
    /// <param name="keepAliveSeconds">How long the host keeps it, if it said so this time.</param>
    public bool MayRest(int? keepAliveSeconds, long now)
    {
        keepAlive = keepAliveSeconds ?? keepAlive;
        var seconds = Math.Min((keepAlive ?? AssumedKeepAliveSeconds + 1) - 1, AssumedKeepAliveSeconds); // a second early, so that our next request does not cross the host's farewell
        IsReused = true;
        ExpiresAt = now + seconds * 1000L;
        return seconds > 0;
    }
}
