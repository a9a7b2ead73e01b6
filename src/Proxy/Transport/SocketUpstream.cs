using System.Net.Security;
using System.Net.Sockets;

namespace Proxy.Transport;

/// <summary>A connection pool for one host over the runtime's sockets, with TLS for an <c>https://</c> host.</summary>
internal sealed class SocketUpstream : UpstreamClient
{
    private readonly CoarseTicker ticker;
    private readonly Lock gate = new();
    private readonly List<SocketConnection> idle = [];
    private readonly HashSet<SocketConnection> open = [];
    private readonly SslClientAuthenticationOptions? tls;
    private readonly HostAddresses addresses;
    private readonly ITimer sweep;
    private bool sweeping;
    private bool disposed;
    private long heard;

    public SocketUpstream(UpstreamTarget target, CoarseTicker ticker)
    {
        Target = target;
        Head = new(target);
        Name = target.Address.Authority;
        addresses = new(target.Address.IdnHost, target.Address.Port, ticker.Time);
        tls = target.Address.Scheme == "https" ? HostCertificates.Options(target) : null;
        this.ticker = ticker;
        sweep = ticker.Time.CreateTimer(static state => ((SocketUpstream)state!).Sweep(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    public UpstreamTarget Target { get; }
    public RequestHead Head { get; }

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

    /// <summary>
    /// Counts a receive. Not atomic: two concurrent receives may count as one, because only the growth of the number matters.
    /// </summary>
    public void Hear() => heard++;

    /// <summary>
    /// Opens a connection and completes its TLS handshake. Throws the exceptions of sockets and TLS, or <see cref="OperationCanceledException"/>.
    /// </summary>
    public async Task<SocketConnection> ConnectAsync(CancellationToken cancellation)
    {
        var socket = await addresses.ConnectAsync(Target.Connect, cancellation);
        SocketConnection connection = tls is null
            ? new PlainConnection(socket, Closed)
            : new TlsConnection(socket, await SecureAsync(socket, tls, cancellation), Closed);
        lock (gate) open.Add(connection);
        return connection;
    }

    public override UpstreamExchange Open() => new SocketExchange(this, ticker);

    /// <summary>Takes the most recently used idle connection that is still usable; null if there is none.</summary>
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

            if (ticker.Now < taken.ExpiresAt && !taken.IsSilentSuspect && !taken.IsStale) return taken;
            Drop(taken);
        }
    }

    /// <summary>Returns a connection to the pool after its exchange has ended.</summary>
    /// <param name="keepAliveSeconds">How long the host keeps the connection, from its Keep-Alive header; null without one.</param>
    public void GiveBack(SocketConnection connection, int? keepAliveSeconds)
    {
        var mayRest = connection.MayRest(keepAliveSeconds, ticker.Now);
        if (mayRest) connection.Rest();
        lock (gate)
        {
            if (mayRest && !disposed)
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

    // Runs once a second while connections are idle. TakeIdle looks only at the top of the stack, so old ones below it would never be closed.
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
        connection.Dispose();
    }

    private static async Task<SslStream> SecureAsync(Socket socket, SslClientAuthenticationOptions tls, CancellationToken cancellation)
    {
        var stream = new SslStream(new NetworkStream(socket, ownsSocket: true));
        try
        {
            await stream.AuthenticateAsClientAsync(tls, cancellation);
            return stream;
        }
        catch
        {
            await stream.DisposeAsync();
            throw;
        }
    }
}
