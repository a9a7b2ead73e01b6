using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Proxy.Tests.Transport;

/// <summary>A host that speaks only what a test tells it to, over a raw socket.</summary>
internal sealed class FakeHost : IDisposable
{
    private readonly TcpListener listener = new(IPAddress.Loopback, 0);

    public FakeHost()
    {
        listener.Start();
        Port = ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    public int Port { get; }

    public Uri Address => new($"http://127.0.0.1:{Port}");

    public async Task<Peer> AcceptAsync() => new(await listener.AcceptSocketAsync(TestContext.Current.CancellationToken));

    /// <summary>Answers every request on every connection alike, until cancelled.</summary>
    public async Task ServeAsync(string answer, CancellationToken cancellation)
    {
        var connections = new List<Task>();
        try
        {
            while (true) connections.Add(ServeAsync(new(await listener.AcceptSocketAsync(cancellation)), answer, cancellation));
        }
        catch (OperationCanceledException)
        {
            await Task.WhenAll(connections);
        }
    }

    private static async Task ServeAsync(Peer peer, string answer, CancellationToken cancellation)
    {
        using var closing = cancellation.Register(peer.Dispose);
        try
        {
            while (await peer.ReadRequestAsync() != "") await peer.SendAsync(answer);
        }
        catch (Exception failure) when (failure is SocketException or ObjectDisposedException)
        {
            // The other side is gone, as it may.
        }
    }

    public bool HasPending => listener.Pending();

    /// <summary>Nothing listens on the port any more.</summary>
    public void Dispose() => listener.Dispose();
}

/// <summary>The host's end of one connection.</summary>
internal sealed class Peer : IDisposable
{
    private readonly Socket socket;
    private readonly byte[] buffer = new byte[64 * 1024];
    private readonly List<byte> unread = [];

    public Peer(Socket socket)
    {
        this.socket = socket;
        socket.NoDelay = true; // what a test sends in two pieces leaves in two
    }

    /// <summary>One request with a Content-Length, as text; empty when the other side closed first.</summary>
    public async Task<string> ReadRequestAsync()
    {
        while (true)
        {
            var text = Encoding.Latin1.GetString([.. unread]);
            var head = text.IndexOf("\r\n\r\n", StringComparison.Ordinal);
            if (head >= 0)
            {
                var length = 0;
                foreach (var line in text[..head].Split("\r\n"))
                {
                    if (line.StartsWith("Content-Length: ", StringComparison.OrdinalIgnoreCase)) length = int.Parse(line[16..], System.Globalization.CultureInfo.InvariantCulture);
                }

                if (unread.Count >= head + 4 + length)
                {
                    unread.RemoveRange(0, head + 4 + length);
                    return text[..(head + 4 + length)];
                }
            }

            var count = await ReceiveAsync();
            if (count == 0) return "";
            unread.AddRange(buffer.AsSpan(0, count));
        }
    }

    public Task SendAsync(string text) => SendAsync(Encoding.Latin1.GetBytes(text));

    public async Task SendAsync(ReadOnlyMemory<byte> bytes)
    {
        while (!bytes.IsEmpty) bytes = bytes[await socket.SendAsync(bytes, TestContext.Current.CancellationToken)..];
    }

    /// <summary>Reads a request with a body of this length and sends the body back.</summary>
    public async Task EchoAsync(int length)
    {
        var head = 0;
        var all = new List<byte>();
        while (head == 0 || all.Count < head + length)
        {
            var count = await ReceiveAsync();
            Assert.NotEqual(0, count);
            all.AddRange(buffer.AsSpan(0, count));
            if (head == 0) head = System.Runtime.InteropServices.CollectionsMarshal.AsSpan(all).IndexOf("\r\n\r\n"u8) + 4;
        }

        await SendAsync($"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        await SendAsync(all.ToArray().AsMemory(head));
    }

    /// <summary>Until the other side is gone, by FIN or by RST.</summary>
    public async Task WaitForGoneAsync()
    {
        while (await ReceiveAsync() > 0)
        {
            // What still came is of no interest.
        }
    }

    /// <summary>Sends a FIN.</summary>
    public void SayGoodbye() => socket.Shutdown(SocketShutdown.Both); // over loopback the FIN is there when this returns

    /// <summary>Closes with a reset.</summary>
    public void Reset()
    {
        socket.LingerState = new LingerOption(true, 0);
        socket.Dispose();
    }

    public void Dispose() => socket.Dispose();

    private async Task<int> ReceiveAsync()
    {
        try
        {
            return await socket.ReceiveAsync(buffer, TestContext.Current.CancellationToken);
        }
        catch (SocketException)
        {
            return 0;
        }
    }
}
