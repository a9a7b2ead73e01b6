namespace Proxy.Transport;

/// <summary>The state of a connection to a host that outlives a single request. A connection serves one request at a time.</summary>
internal abstract class UpstreamConnection
{
    // For a host that does not send how long it keeps an idle connection.
    private const int AssumedKeepAliveSeconds = 60;

    private int? keepAlive;
    private long heard;
    private long? suspectedAt;

    /// <summary>The connection has served a request before.</summary>
    public bool IsReused { get; private set; }

    /// <summary>The time from which an idle connection must not be used any more, in the ticker's milliseconds.</summary>
    public long ExpiresAt { get; private set; }

    /// <summary>The connection is suspect and has received nothing since it became so.</summary>
    public bool IsSilentSuspect => suspectedAt == heard;

    /// <summary>Counts a receive that brought bytes.</summary>
    public void Hear() => heard++;

    /// <summary>Marks the connection as suspect: its host has stopped answering.</summary>
    public void Suspect() => suspectedAt = heard;

    public void EndSuspicion() => suspectedAt = null;

    /// <summary>Called after a request: whether the connection may be kept for another one.</summary>
    /// <param name="keepAliveSeconds">How long the host keeps the connection, from this response's Keep-Alive header; null without one.</param>
    public bool MayRest(int? keepAliveSeconds, long now)
    {
        keepAlive = keepAliveSeconds ?? keepAlive;
        // One second less than the host, so that our next request does not race with the host's close.
        var seconds = Math.Min((keepAlive ?? AssumedKeepAliveSeconds + 1) - 1, AssumedKeepAliveSeconds);
        IsReused = true;
        ExpiresAt = now + seconds * 1000L;
        return seconds > 0;
    }
}
