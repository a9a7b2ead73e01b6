using System.Net;
using System.Net.Sockets;

namespace Proxy.Tests.Harness;

/// <summary>Connections to a port of the loopback that the test can cut, while others that do not go through here last.</summary>
internal sealed class CutWire : IDisposable
{
    private readonly Lock gate = new();
    private readonly List<Socket> open = [];
    private readonly int target;
    private Socket? listener;

    public CutWire(int target)
    {
        this.target = target;
        Port = ServerTree.FreePort();
        Mend();
    }

    public int Port { get; }

    /// <summary>Ends every connection and takes no new one.</summary>
    public void Cut()
    {
        lock (gate)
        {
            listener?.Dispose();
            listener = null;
            foreach (var socket in open) socket.Dispose();
            open.Clear();
        }
    }

    /// <summary>Takes connections again.</summary>
    public void Mend()
    {
        var next = new Socket(SocketType.Stream, ProtocolType.Tcp);
        next.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.ReuseAddress, true);
        next.Bind(new IPEndPoint(IPAddress.Loopback.MapToIPv6(), Port));
        next.Listen();
        lock (gate) listener = next;
        _ = AcceptAsync(next);
    }

    public void Dispose() => Cut();

    private async Task AcceptAsync(Socket from)
    {
        try
        {
            while (true)
            {
                var client = await from.AcceptAsync();
                var server = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
                client.NoDelay = true;
                lock (gate) open.AddRange([client, server]);
                _ = JoinAsync(client, server);
            }
        }
        catch (Exception cut) when (cut is SocketException or ObjectDisposedException)
        {
            // The test has cut it.
        }
    }

    private async Task JoinAsync(Socket client, Socket server)
    {
        try
        {
            await server.ConnectAsync(IPAddress.Loopback, target);
        }
        catch (Exception away) when (away is SocketException or ObjectDisposedException)
        {
            client.Dispose(); // as a closed port does
            return;
        }

        _ = CopyAsync(client, server);
        _ = CopyAsync(server, client);
    }

    private static async Task CopyAsync(Socket from, Socket to)
    {
        var buffer = new byte[16 << 10];
        try
        {
            while (await from.ReceiveAsync(buffer) is > 0 and var count)
            {
                for (var sent = 0; sent < count;) sent += await to.SendAsync(buffer.AsMemory(sent, count - sent));
            }
        }
        catch (Exception cut) when (cut is SocketException or ObjectDisposedException)
        {
            // As above.
        }

        from.Dispose();
        to.Dispose();
    }
}
