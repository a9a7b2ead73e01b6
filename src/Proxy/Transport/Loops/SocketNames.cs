using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;

namespace Proxy.Transport.Loops;

/// <summary>Parses the kernel's socket addresses (struct sockaddr).</summary>
internal static class SocketNames
{
    private static readonly UnixDomainSocketEndPoint unnamed = new("\0");

    /// <summary>The local address of a connection.</summary>
    public static EndPoint? Local(int descriptor)
    {
        Span<byte> address = stackalloc byte[128];
        return Read(address[..LibC.LocalAddress(descriptor, address)]);
    }

    /// <summary>Null for an unknown address family. All Unix addresses yield the same unnamed end point, because clients have no name.</summary>
    public static EndPoint? Read(ReadOnlySpan<byte> address)
    {
        if (address.Length < 2) return null;
        return BitConverter.ToUInt16(address) switch
        {
            LibC.InterNetwork when address.Length >= 8 => new IPEndPoint(new IPAddress(address.Slice(4, 4)), Port(address)),
            LibC.InterNetworkV6 when address.Length >= 28 =>
                new IPEndPoint(new IPAddress(address.Slice(8, 16), BitConverter.ToUInt32(address[24..])), Port(address)),
            1 => unnamed,
            _ => null,
        };
    }

    private static int Port(ReadOnlySpan<byte> address) => BinaryPrimitives.ReadUInt16BigEndian(address[2..]);
}
