using System.Net.Sockets;

namespace Proxy.Transport;

/// <summary>One connection to a host, used by one exchange at a time.</summary>
internal sealed class SocketConnection(Socket socket)
{
    private int closed;

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
            catch (SocketException)
            {
                return true;
            }
        }
    }

    /// <summary>Any thread, any number of times. A receive under way ends with an error.</summary>
    public void Close()
    {
        if (Interlocked.Exchange(ref closed, 1) == 0) socket.Dispose();
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
