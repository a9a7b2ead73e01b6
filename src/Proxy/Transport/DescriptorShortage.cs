using System.Net.Sockets;

namespace Proxy.Transport;

/// <summary>Tells a process, or a machine, that has no descriptor left from a host that cannot be reached.</summary>
internal static class DescriptorShortage
{
    /// <summary>Whether a connection failed for want of a descriptor. For the rare case only: where the failure does not say it itself, one is opened to see.</summary>
    public static bool IsCauseOf(Exception failure)
    {
        for (var cause = failure; cause is not null; cause = cause.InnerException)
        {
            if (cause is SocketException { SocketErrorCode: SocketError.TooManyOpenSockets }) return true;
            if (cause is SocketException { SocketErrorCode: SocketError.ConnectionRefused or SocketError.HostUnreachable or SocketError.NetworkUnreachable or SocketError.TimedOut }) return false;
        }

        // The resolver, whose files and sockets need descriptors too, only says that the name cannot be resolved.
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
