using System.Net.Sockets;

namespace Proxy.Transport;

/// <summary>Distinguishes a process or machine that has run out of file descriptors from a host that cannot be reached.</summary>
internal static class DescriptorShortage
{
    /// <summary>
    /// Whether a connection failed because no file descriptor was free. If the exception does not tell, this opens a socket to find out; that is rare.
    /// </summary>
    public static bool IsCauseOf(Exception failure)
    {
        for (var cause = failure; cause is not null; cause = cause.InnerException)
        {
            if (cause is SocketException { SocketErrorCode: SocketError.TooManyOpenSockets }) return true;
            if (cause is SocketException
            {
                SocketErrorCode: SocketError.ConnectionRefused or SocketError.HostUnreachable or SocketError.NetworkUnreachable or SocketError.TimedOut,
            }) return false;
        }

        // The resolver needs descriptors for its files and sockets too; without them it only reports that the name cannot be resolved.
        try
        {
            using var one = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            return false;
        }
        catch (SocketException none)
        {
            return none.SocketErrorCode is SocketError.TooManyOpenSockets;
        }
    }
}
