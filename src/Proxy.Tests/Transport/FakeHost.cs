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

    public bool HasPending => listener.Pending();

    /// <summary>Nothing listens on the port any more.</summary>
    public void Dispose() => listener.Dispose();
}

/// <summary>The host's end of one connection.</summary>
internal sealed class Peer(Socket socket) : IDisposable
{
    private readonly byte[] buffer = new byte[64 * 1024];
    private readonly List<byte> unread = [];

    public Socket Socket => socket;

    public void NoDelay() => socket.NoDelay = true;

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

    /// <summary>Until the other side is gone, by FIN or by RST.</summary>
    public async Task WaitForGoneAsync()
    {
        while (await ReceiveAsync() > 0)
        {
            // What still came is of no interest.
        }
    }

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
