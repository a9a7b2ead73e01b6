namespace Proxy.Transport.Loops;

/// <summary>One loop's connections to a host that nobody uses at the moment. The loop tells when the host closes one of them.</summary>
internal sealed class IdleConnections(EventLoop loop, CoarseTicker ticker) : ILoopWork
{
    // Of a host that does not say how long it keeps an idle connection.
    private const int AssumedKeepAliveSeconds = 60;

    private readonly List<HostConnection> connections = [];
    private volatile bool disposed;

    public EventLoop Loop => loop;

    /// <summary>May be asked from any thread.</summary>
    public bool IsEmpty => connections.Count == 0;

    /// <summary>The one that was used last.</summary>
    public HostConnection? Take()
    {
        while (connections.Count > 0)
        {
            var taken = connections[^1];
            connections.RemoveAt(connections.Count - 1);
            if (ticker.Now < taken.ExpiresAt && !taken.Readable) return taken;
            taken.Close();
        }

        return null;
    }

    /// <summary>Nothing is under way on it any more.</summary>
    public void GiveBack(HostConnection connection)
    {
        // A second early, so that our next request does not cross the host's farewell.
        var seconds = Math.Min((connection.KeepAliveSeconds ?? AssumedKeepAliveSeconds + 1) - 1, AssumedKeepAliveSeconds);
        if (disposed || seconds <= 0)
        {
            connection.Close();
            return;
        }

        connection.Exchange = null;
        connection.Idle = this;
        connection.IsReused = true;
        connection.ExpiresAt = ticker.Now + seconds * 1000L;
        connections.Add(connection);
    }

    public void Remove(HostConnection connection) => connections.Remove(connection);

    /// <summary>Closes those whose time is over. Any thread.</summary>
    public void Sweep() => loop.Post(this);

    /// <summary>Closes all, now and later. Any thread.</summary>
    public void Dispose()
    {
        disposed = true;
        loop.Post(this);
    }

    void ILoopWork.Run()
    {
        var now = ticker.Now;
        for (var i = connections.Count - 1; i >= 0; i--)
        {
            if (!disposed && now < connections[i].ExpiresAt) continue;
            connections[i].Close();
            connections.RemoveAt(i);
        }
    }
}
