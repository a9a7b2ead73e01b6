using System.Net;
using System.Net.Sockets;

namespace Proxy.Transport.Loops;

/// <summary>One connection to a host, on one loop, used by one exchange at a time. All members run on the loop's thread.</summary>
internal sealed class HostConnection : UpstreamConnection, ILoopTarget
{
    private readonly EventLoop loop;
    private readonly OpenConnections all;
    private int slot = -1;
    private bool closed;
    private TaskCompletionSource? connecting;

    private HostConnection(EventLoop loop, OpenConnections all, int descriptor)
    {
        this.loop = loop;
        this.all = all;
        Descriptor = descriptor;
    }

    public int Descriptor { get; }

    /// <summary>The exchange that uses the connection; null while it is idle.</summary>
    public LoopExchange? Exchange { get; set; }

    /// <summary>The pool that holds the connection while it is idle.</summary>
    public IdleConnections? Idle { get; set; }

    /// <summary>A receive may return bytes, the end of the stream or an error.</summary>
    public bool Readable { get; private set; }

    /// <summary>The host has closed its side; only bytes already in the socket's buffer remain.</summary>
    public bool PeerDone { get; private set; }

    /// <summary>
    /// Opens a connection. Called on the loop's thread and completes there. Throws <see cref="SocketException"/> or
    /// <see cref="OperationCanceledException"/>.
    /// </summary>
    public static async Task<HostConnection> OpenAsync(EventLoop loop, OpenConnections all, IPEndPoint address, CancellationToken cancellation)
    {
        var descriptor = LibC.NewTcp(address.AddressFamily == AddressFamily.InterNetworkV6 ? LibC.InterNetworkV6 : LibC.InterNetwork);
        if (descriptor < 0) throw Failure(LibC.LastError);

        LibC.BeginWatch(descriptor);
        var connection = new HostConnection(loop, all, descriptor);
        all.Add(connection);
        try
        {
            var name = address.Serialize();
            var outcome = LibC.Connect(descriptor, name.Buffer.Span[..name.Size]);
            if (outcome == LibC.Failed) throw Failure(LibC.LastError);
            connection.slot = loop.Watch(descriptor, connection);
            if (connection.slot < 0) throw Failure(LibC.LastError);
            if (outcome == LibC.WouldBlock) await connection.ConnectedAsync(cancellation).ConfigureAwait(false);
            return connection;
        }
        catch (Exception failure) when (failure is SocketException or OperationCanceledException)
        {
            await loop.EnterAsync();
            connection.Close();
            throw;
        }
    }

    public void OnReady(uint events)
    {
        if ((events & (LibC.PeerClosed | LibC.HungUp | LibC.Error)) != 0) PeerDone = true;
        if ((events & ~LibC.Writable) != 0) Readable = true;
        if (connecting is { } waiting)
        {
            connecting = null;
            var error = LibC.TakeError(Descriptor);
            if (error == 0) waiting.TrySetResult();
            else waiting.TrySetException(Failure(error));
        }
        else if (Exchange is { } exchange)
        {
            exchange.OnReady((events & LibC.Writable) != 0);
        }
        else if (Readable)
        {
            // The host has closed an idle connection, or has sent bytes without a request.
            Idle?.Remove(this);
            Close();
        }
    }

    /// <summary>Receives; the result is that of <see cref="LibC.Receive"/>.</summary>
    public int Receive(Span<byte> target)
    {
        var count = LibC.Receive(Descriptor, target);
        if (count > 0)
        {
            Hear();
            all.Hear();
        }

        // Edge-triggered: a short read means that the socket is drained, and epoll will report the next byte. EPOLLRDHUP is reported only once, so after it
        // keep reading until recv returns 0.
        if (count == LibC.WouldBlock || (count > 0 && count < target.Length && !PeerDone)) Readable = false;
        return count;
    }

    /// <summary>The host had stopped answering and answers again: fails the exchange on this connection, or closes the idle connection.</summary>
    public void Lose()
    {
        if (Exchange is { } exchange)
        {
            exchange.Lose();
        }
        else if (Idle is { } idle)
        {
            idle.Remove(this);
            Close();
        }
    }

    public void Close()
    {
        if (closed) return;
        closed = true;
        all.Remove(this);
        if (slot >= 0) loop.Forget(slot);
        LibC.Close(Descriptor);
    }

    private async Task ConnectedAsync(CancellationToken cancellation)
    {
        var waiting = new TaskCompletionSource();
        connecting = waiting;
        using var registration = cancellation.UnsafeRegister(static (state, token) => ((TaskCompletionSource)state!).TrySetCanceled(token), waiting);
        try
        {
            await waiting.Task.ConfigureAwait(false);
        }
        finally
        {
            await loop.EnterAsync(); // a cancellation continues on another thread
            connecting = null;
        }
    }

    private static SocketException Failure(int error) => new((int)(error switch
    {
        101 => SocketError.NetworkUnreachable,
        104 => SocketError.ConnectionReset,
        110 => SocketError.TimedOut,
        111 => SocketError.ConnectionRefused,
        113 => SocketError.HostUnreachable,
        23 or 24 => SocketError.TooManyOpenSockets,
        _ => SocketError.SocketError,
    }));
}
