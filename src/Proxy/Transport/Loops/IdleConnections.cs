namespace Proxy.Transport.Loops;

/// <summary>One loop's pool of idle connections to a host. A connection that its host closes removes itself.</summary>
internal sealed class IdleConnections(EventLoop loop, CoarseTicker ticker) : ILoopWork
{
    private readonly List<HostConnection> connections = [];
    private volatile bool disposed;

    public EventLoop Loop => loop;

    /// <summary>Callable from any thread.</summary>
    public bool IsEmpty => connections.Count == 0;

    /// <summary>Takes the most recently used connection that is still usable; null if there is none.</summary>
    public HostConnection? Take()
    {
        while (connections.Count > 0)
        {
            var taken = connections[^1];
            connections.RemoveAt(connections.Count - 1);
            if (ticker.Now < taken.ExpiresAt && !taken.IsSilentSuspect && !taken.Readable) return taken;
            taken.Close();
        }

        return null;
    }

    /// <summary>Returns a connection to the pool after its exchange has ended.</summary>
    /// <param name="keepAliveSeconds">How long the host keeps the connection, from its Keep-Alive header; null without one.</param>
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

    /// <summary>Closes the expired connections. Callable from any thread.</summary>
    public void Sweep() => loop.Post(this);

    /// <summary>Closes all connections, including those returned later. Callable from any thread.</summary>
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
