using System.Net;
using System.Net.Sockets;

namespace Proxy.Transport.Loops;

/// <summary>One connection to a host, on one loop and used by one exchange at a time. Everything happens on the loop's thread.</summary>
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

    /// <summary>Whose it is; null while it is idle.</summary>
    public LoopExchange? Exchange { get; set; }

    /// <summary>Where it waits while it is idle.</summary>
    public IdleConnections? Idle { get; set; }

    /// <summary>A receive may bring something: bytes, the end or an error.</summary>
    public bool Readable { get; private set; }

    /// <summary>The host sends no more than what has arrived.</summary>
    public bool PeerDone { get; private set; }

    /// <summary>On the loop, and completes there. Throws <see cref="SocketException"/>, or when cancelled.</summary>
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
            // The host's farewell, or something that nobody asked for.
            Idle?.Remove(this);
            Close();
        }
    }

    /// <summary>Bytes; 0 at the end; or as <see cref="LibC.Receive"/>.</summary>
    public int Receive(Span<byte> target)
    {
        var count = LibC.Receive(Descriptor, target);
        if (count > 0)
        {
            Hear();
            all.Hear();
        }

        // Edge-triggered: less than there was room for was all there is, and the next byte will be told; but an end that was already told will not be again.
        if (count == LibC.WouldBlock || (count > 0 && count < target.Length && !PeerDone)) Readable = false;
        return count;
    }

    /// <summary>Its host was away and is back: whatever ran on it is over.</summary>
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
            await loop.EnterAsync(); // a cancellation comes from elsewhere
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
