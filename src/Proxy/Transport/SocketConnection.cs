using System.Net.Sockets;

namespace Proxy.Transport;

/// <summary>One connection to a host over the runtime's sockets, used by one exchange at a time.</summary>
/// <param name="whenClosed">Called once.</param>
internal abstract class SocketConnection(Socket socket, Action<SocketConnection> whenClosed) : UpstreamConnection, IDisposable
{
    private int closed;

    /// <summary>The exchange that uses the connection; it is notified when a receive has finished.</summary>
    public SocketExchange? Exchange { get; set; }

    /// <summary>The host has closed the idle connection, or has sent bytes without a request. In both cases it must not be reused.</summary>
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

    /// <summary>The connection was closed because its host had stopped answering.</summary>
    public bool IsLost { get; private set; }

    /// <summary>
    /// The host answers again. Closes the connection if it is suspect and has received nothing since it became so, whether a call uses it or not.
    /// </summary>
    public void CloseIfSilent()
    {
        if (IsSilentSuspect)
        {
            IsLost = true;
            Close();
        }

        EndSuspicion();
    }

    /// <summary>Sends all bytes. Throws the exception of the socket or stream if the connection is closed or broken.</summary>
    public abstract ValueTask SendAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellation);

    /// <summary>
    /// Starts a receive. True: the exchange will be notified. False: it has already finished. Does not throw, even on a closed connection.
    /// </summary>
    public abstract bool BeginReceive(byte[] buffer, int offset);

    /// <summary>The number of bytes received; 0 at the end of the stream, or on an error, which <paramref name="broken"/> then describes.</summary>
    public abstract int EndReceive(out string? broken);

    /// <summary>Called when the connection becomes idle.</summary>
    public virtual void Rest()
    {
    }

    /// <summary>Releases the resources of receives. No receive may be pending, and none may follow.</summary>
    public abstract void Dispose();

    /// <summary>Closes the connection; a pending receive ends with an error. Callable from any thread, any number of times.</summary>
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

    // unsafeSuppressExecutionContext: true, so that no execution context is captured per receive.
    private sealed class ReceiveArgs(PlainConnection connection) : SocketAsyncEventArgs(true)
    {
        protected override void OnCompleted(SocketAsyncEventArgs e) => connection.Exchange!.OnReceived();
    }
}
