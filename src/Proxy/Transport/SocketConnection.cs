using System.Net.Sockets;

namespace Proxy.Transport;

/// <summary>One connection to a host, used by one exchange at a time.</summary>
/// <param name="whenClosed">Called once.</param>
internal sealed class SocketConnection(Socket socket, Action<SocketConnection> whenClosed)
{
    private int closed;
    private long heard;
    private long? suspectedAt;

    public Socket Socket => socket;

    public ReceiveArgs Receive { get; } = new();

    /// <summary>It has served an exchange before.</summary>
    public bool IsReused { get; set; }

    /// <summary>How long the host keeps it while idle, as it last said.</summary>
    public int? KeepAliveSeconds { get; set; }

    /// <summary>When it must not be used any more, in milliseconds of the ticker. Set while idle.</summary>
    public long ExpiresAt { get; set; }

    /// <summary>The host has closed an idle connection, or says something nobody asked for: both mean that it cannot be used.</summary>
    public bool IsStale
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

    /// <summary>Bytes came.</summary>
    public void Hear() => heard++;

    /// <summary>Its host has stopped answering.</summary>
    public void Suspect() => suspectedAt = heard;

    /// <summary>The host is back: a suspect that has brought nothing since is closed, if a call runs on it or not.</summary>
    public void CloseIfSilent()
    {
        if (suspectedAt == heard)
        {
            IsLost = true;
            Close();
        }

        suspectedAt = null;
    }

    /// <summary>Any thread, any number of times. A receive under way ends with an error.</summary>
    public void Close()
    {
        if (Interlocked.Exchange(ref closed, 1) != 0) return;
        socket.Dispose();
        whenClosed(this);
    }

    /// <summary>A receive's arguments: they tell the exchange that holds the connection.</summary>
    internal sealed class ReceiveArgs : SocketAsyncEventArgs
    {
        public ReceiveArgs() : base(true) // no execution context is captured per receive
        {
        }

        public SocketExchange? Exchange { get; set; }

        protected override void OnCompleted(SocketAsyncEventArgs e) => Exchange!.OnReceived();
    }
}
