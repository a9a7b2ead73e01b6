using System.Net.Sockets;

namespace Proxy.Transport;

/// <summary>Connections to one <c>http://</c> host over the runtime's own sockets.</summary>
internal sealed class SocketUpstream : UpstreamClient
{
    // Of a host that does not say how long it keeps an idle connection.
    private const int AssumedKeepAliveSeconds = 60;

    private readonly CoarseTicker ticker;
    private readonly Lock gate = new();
    private readonly List<SocketConnection> idle = [];
    private readonly HashSet<SocketConnection> open = [];
    private readonly ITimer sweep;
    private bool sweeping;
    private bool disposed;
    private long heard;

    public SocketUpstream(UpstreamTarget target, CoarseTicker ticker)
    {
        Target = target;
        Head = new(target);
        Addresses = new(target.Address.IdnHost, target.Address.Port, ticker.Time);
        Name = target.Address.Authority;
        this.ticker = ticker;
        sweep = ticker.Time.CreateTimer(static state => ((SocketUpstream)state!).Sweep(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    public UpstreamTarget Target { get; }
    public RequestHead Head { get; }
    public HostAddresses Addresses { get; }

    /// <summary>The host and its port, for messages.</summary>
    public string Name { get; }

    public override long Heard => Volatile.Read(ref heard);

    public override void Suspect()
    {
        lock (gate)
        {
            foreach (var connection in open) connection.Suspect();
        }
    }

    public override void EndSuspects()
    {
        SocketConnection[] all;
        lock (gate) all = [.. open];
        foreach (var connection in all) connection.CloseIfSilent();
    }

    /// <summary>Bytes came. Two at once may count as one: only that the number has grown matters.</summary>
    public void Hear() => heard++;

    /// <summary>A new connection of this client.</summary>
    public SocketConnection Opened(Socket socket)
    {
        var connection = new SocketConnection(socket, Closed);
        lock (gate) open.Add(connection);
        return connection;
    }

    public override UpstreamExchange Open() => new SocketExchange(this, ticker);

    /// <summary>The idle connection that was used last, if there is one that still lives.</summary>
    public SocketConnection? TakeIdle()
    {
        while (true)
        {
            SocketConnection taken;
            lock (gate)
            {
                if (idle.Count == 0) return null;
                taken = idle[^1];
                idle.RemoveAt(idle.Count - 1);
            }

            if (ticker.Now < taken.ExpiresAt && !taken.IsStale) return taken;
            Drop(taken);
        }
    }

    /// <summary>Nothing is under way on it any more.</summary>
    public void GiveBack(SocketConnection connection)
    {
        // A second early, so that our next request does not cross the host's farewell.
        var seconds = Math.Min((connection.KeepAliveSeconds ?? AssumedKeepAliveSeconds + 1) - 1, AssumedKeepAliveSeconds);
        connection.IsReused = true;
        connection.ExpiresAt = ticker.Now + seconds * 1000L;
        lock (gate)
        {
            if (!disposed && seconds > 0)
            {
                idle.Add(connection);
                if (!sweeping)
                {
                    sweeping = true;
                    sweep.Change(TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(1));
                }

                return;
            }
        }

        Drop(connection);
    }

    public override void Dispose()
    {
        lock (gate) disposed = true;
        sweep.Dispose();
        foreach (var connection in Stale(all: true)) Drop(connection);
    }

    // Once a second, while connections are idle: those at the bottom would otherwise never be looked at.
    private void Sweep()
    {
        foreach (var connection in Stale(all: false)) Drop(connection);
    }

    private List<SocketConnection> Stale(bool all)
    {
        var now = ticker.Now;
        var stale = new List<SocketConnection>();
        lock (gate)
        {
            for (var i = idle.Count - 1; i >= 0; i--)
            {
                if (!all && now < idle[i].ExpiresAt && !idle[i].IsStale) continue;
                stale.Add(idle[i]);
                idle.RemoveAt(i);
            }

            if (idle.Count == 0 && sweeping)
            {
                sweeping = false;
                if (!disposed) sweep.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
            }
        }

        return stale;
    }

    private void Closed(SocketConnection connection)
    {
        lock (gate)
        {
            open.Remove(connection);
            idle.Remove(connection);
        }
    }

    private static void Drop(SocketConnection connection)
    {
        connection.Close();
        connection.Receive.Dispose();
    }
}
