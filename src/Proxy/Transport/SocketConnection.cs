using System.Net.Sockets;

namespace Proxy.Transport;

/// <summary>One connection to a host over the runtime's sockets, used by one exchange at a time.</summary>
/// <param name="whenClosed">Called once.</param>
internal abstract class SocketConnection(Socket socket, Action<SocketConnection> whenClosed) : UpstreamConnection, IDisposable
{
    private int closed;

    /// <summary>Whose it is: told when a receive is over.</summary>
    public SocketExchange? Exchange { get; set; }

    /// <summary>The host has closed an idle connection, or says something nobody asked for: both mean that it cannot be used.</summary>
    public virtual bool IsStale
    {
        get
        {
            try
            {
                return socket.Poll(0, SelectMode.SelectRead);
            }
            catch (Exception gone) when (gone is SocketException or ObjectDisposedException)
            {
                return true;
            }
        }
    }

    /// <summary>It was closed because its host was away.</summary>
    public bool IsLost { get; private set; }

    /// <summary>The host is back: a suspect that has brought nothing since is closed, if a call runs on it or not.</summary>
    public void CloseIfSilent()
    {
        if (IsSilentSuspect)
        {
            IsLost = true;
            Close();
        }

        EndSuspicion();
    }

    /// <summary>Sends all of it, or throws what a closed or broken connection throws.</summary>
    public abstract ValueTask SendAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellation);

    /// <summary>Starts a receive. True: the exchange will be told. False: it is over already. Does not throw, also on a closed connection.</summary>
    public abstract bool BeginReceive(byte[] buffer, int offset);

    /// <summary>How many bytes the finished receive brought; 0 at the end, with what broke the connection, if that did.</summary>
    public abstract int EndReceive(out string? broken);

    /// <summary>It is idle from here on.</summary>
    public virtual void Rest()
    {
    }

    /// <summary>Gives up what receives need: none is under way, and none will be.</summary>
    public abstract void Dispose();

    /// <summary>Any thread, any number of times. A receive under way ends with an error.</summary>
    public void Close()
    {
        if (Interlocked.Exchange(ref closed, 1) != 0) return;
        Break();
        whenClosed(this);
    }

    protected virtual void Break() => socket.Dispose();
}

/// <summary>A connection to an <c>http://</c> host.</summary>
internal sealed class PlainConnection : SocketConnection
{
    private readonly Socket socket;
    private readonly ReceiveArgs receive;
    private bool isRefused;

    public PlainConnection(Socket socket, Action<SocketConnection> whenClosed) : base(socket, whenClosed)
    {
        this.socket = socket;
        receive = new(this);
    }

    public override async ValueTask SendAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellation)
    {
        while (!bytes.IsEmpty) bytes = bytes[await socket.SendAsync(bytes, SocketFlags.None, cancellation)..];
    }

    public override bool BeginReceive(byte[] buffer, int offset)
    {
        try
        {
            receive.SetBuffer(buffer, offset, buffer.Length - offset);
            return socket.ReceiveAsync(receive);
        }
        catch (ObjectDisposedException)
        {
            isRefused = true;
            return false;
        }
    }

    public override int EndReceive(out string? broken)
    {
        var error = isRefused ? SocketError.OperationAborted : receive.SocketError;
        broken = error == SocketError.Success ? null : new SocketException((int)error).Message;
        return broken is null ? receive.BytesTransferred : 0;
    }

    public override void Dispose() => receive.Dispose();

    // No execution context is captured per receive.
    private sealed class ReceiveArgs(PlainConnection connection) : SocketAsyncEventArgs(true)
    {
        protected override void OnCompleted(SocketAsyncEventArgs e) => connection.Exchange!.OnReceived();
    }
}
