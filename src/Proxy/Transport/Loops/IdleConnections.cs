namespace Proxy.Transport.Loops;

/// <summary>One loop's connections to a host that nobody uses at the moment. The loop tells when the host closes one of them.</summary>
internal sealed class IdleConnections(EventLoop loop, CoarseTicker ticker) : ILoopWork
{
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
    /// <param name="keepAliveSeconds">How long the host keeps it, if it said so.</param>
    public void GiveBack(HostConnection connection, int? keepAliveSeconds)
    {
        if (!connection.MayRest(keepAliveSeconds, ticker.Now) || disposed)
        {
            connection.Close();
            return;
        }

        connection.Exchange = null;
        connection.Idle = this;
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
