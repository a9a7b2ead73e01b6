using System.Net.Sockets;

namespace Proxy.Transport;

/// <summary>
/// How the kernel watches a connection to a host, so that one whose host lost its power or its network is known to be dead after a minute: an idle connection is probed after 30 s
/// and given up after three probes 10 s apart, and bytes that the host's kernel does not acknowledge are waited for as long.
/// </summary>
internal static class TcpWatch
{
    public const int IdleSeconds = 30;
    public const int IntervalSeconds = 10;
    public const int Probes = 3;

    /// <summary>TCP_USER_TIMEOUT: without it the kernel repeats what was not acknowledged for a quarter of an hour.</summary>
    public const int UnacknowledgedMilliseconds = (IdleSeconds + (Probes * IntervalSeconds)) * 1000;

    /// <summary>Levels and options of Linux.</summary>
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
