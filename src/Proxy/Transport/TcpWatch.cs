using System.Net.Sockets;

namespace Proxy.Transport;

/// <summary>
/// TCP keep-alive settings for connections to hosts. They detect within a minute that a host has lost its power or its network: the kernel probes an
/// idle connection after 30 s and gives it up after three unanswered probes 10 s apart; sent bytes may stay unacknowledged for the same total time.
/// </summary>
internal static class TcpWatch
{
    public const int IdleSeconds = 30;
    public const int IntervalSeconds = 10;
    public const int Probes = 3;

    /// <summary>TCP_USER_TIMEOUT. Without it the kernel retransmits unacknowledged bytes for about 15 minutes.</summary>
    public const int UnacknowledgedMilliseconds = (IdleSeconds + (Probes * IntervalSeconds)) * 1000;

    /// <summary>The numbers of Linux's socket levels and options.</summary>
    public const int SocketLevel = 1, KeepAlive = 9, TcpLevel = 6, KeepIdle = 4, KeepInterval = 5, KeepCount = 6, UserTimeout = 18;

    public static void Begin(Socket socket)
    {
        socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveTime, IdleSeconds);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveInterval, IntervalSeconds);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveRetryCount, Probes);
        socket.SetRawSocketOption(TcpLevel, UserTimeout, BitConverter.GetBytes(UnacknowledgedMilliseconds));
    }
}
