using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Transport;

/// <summary>A host that speaks only what a test tells it to, over a raw socket.</summary>
internal sealed class FakeHost : IDisposable
{
    private readonly TcpListener listener;
    private readonly X509Certificate2? certificate;

    /// <param name="certificate">Given, the host speaks TLS.</param>
    /// <param name="at">Where it listens, if not at 127.0.0.1.</param>
    public FakeHost(X509Certificate2? certificate = null, IPAddress? at = null)
    {
        this.certificate = certificate;
        listener = new(at ?? IPAddress.Loopback, 0);
        listener.Start();
        Port = ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    public int Port { get; }

    public Uri Address => new($"{(certificate is null ? "http" : "https")}://127.0.0.1:{Port}");

    public Task<Peer> AcceptAsync() => TakeAsync(TestContext.Current.CancellationToken);

    private async Task<Peer> TakeAsync(CancellationToken cancellation) => await WelcomeAsync(await listener.AcceptSocketAsync(cancellation), cancellation);

    private async Task<Peer> WelcomeAsync(Socket socket, CancellationToken cancellation)
    {
        var stream = new NetworkStream(socket, ownsSocket: true);
        if (certificate is null) return new(socket, stream);

        var secure = new SslStream(stream);
        await secure.AuthenticateAsServerAsync(new SslServerAuthenticationOptions { ServerCertificate = certificate }, cancellation);
        return new(socket, secure);
    }

    /// <summary>Answers every request on every connection alike, until cancelled.</summary>
    public Task ServeAsync(string answer, CancellationToken cancellation) => ServeAsync(_ => answer, cancellation);

    /// <summary>Answers every request on every connection with its body, until cancelled.</summary>
    public Task EchoForEverAsync(CancellationToken cancellation) => ServeAsync(
        static request =>
        {
            var body = request[(request.IndexOf("\r\n\r\n", StringComparison.Ordinal) + 4)..];
            return $"HTTP/1.1 200 OK\r\nContent-Length: {body.Length}\r\n\r\n{body}";
        },
        cancellation);

    private Task ServeAsync(Func<string, string> answer, CancellationToken cancellation) => listener.Server.ServeAsync(socket => ServeAsync(socket, answer, cancellation), cancellation);

    private async Task ServeAsync(Socket socket, Func<string, string> answer, CancellationToken cancellation)
    {
        try
        {
            using var peer = await WelcomeAsync(socket, cancellation);
            using var closing = cancellation.Register(peer.Dispose);
            while (await peer.ReadRequestAsync() is { Length: > 0 } request) await peer.SendAsync(answer(request));
        }
        catch (Exception failure) when (Connections.IsLeaving(failure))
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
    private readonly Stream stream;
    private readonly byte[] buffer = new byte[64 * 1024];
    private readonly List<byte> unread = [];

    /// <param name="sendsAtOnce">What a test sends in two pieces leaves in two.</param>
    public Peer(Socket socket, Stream stream, bool sendsAtOnce = true)
    {
        this.socket = socket;
        this.stream = stream;
        if (sendsAtOnce) socket.NoDelay = true;
    }

    public EndPoint? LocalEndPoint => socket.LocalEndPoint;
    public EndPoint? RemoteEndPoint => socket.RemoteEndPoint;

    /// <summary>Says that it sends no more (FIN), and goes on reading.</summary>
    public void HalfClose() => socket.Shutdown(SocketShutdown.Send);

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

    /// <summary>One answer, as its status and its body without framing.</summary>
    public async Task<(int Status, string Text)> ReadAnswerAsync()
    {
        var head = Encoding.Latin1.GetString(await ThroughAsync("\r\n\r\n"));
        var status = int.Parse(head.AsSpan(9, 3), System.Globalization.CultureInfo.InvariantCulture);
        if (status < 200) return (status, "");
        if (head.Contains("Transfer-Encoding: chunked", StringComparison.Ordinal))
        {
            var text = new StringBuilder();
            while (true)
            {
                var size = int.Parse(Encoding.Latin1.GetString(await ThroughAsync("\r\n")).Trim(), System.Globalization.NumberStyles.HexNumber, System.Globalization.CultureInfo.InvariantCulture);
                text.Append(Encoding.Latin1.GetString(await TakeAsync(size)));
                Assert.Equal("\r\n", Encoding.Latin1.GetString(await TakeAsync(2)));
                if (size == 0) return (status, text.ToString());
            }
        }

        var at = head.IndexOf("Content-Length: ", StringComparison.Ordinal);
        if (at >= 0) return (status, Encoding.Latin1.GetString(await TakeAsync(int.Parse(head.AsSpan(at + 16, head.IndexOf('\r', at) - at - 16), System.Globalization.CultureInfo.InvariantCulture))));

        while (await MoreAsync())
        {
            // A body without a length ends with the connection.
        }

        return (status, Encoding.Latin1.GetString(await TakeAsync(unread.Count)));
    }

    public Task SendAsync(string text) => SendAsync(Encoding.Latin1.GetBytes(text));

    public async Task SendAsync(ReadOnlyMemory<byte> bytes) => await stream.WriteAsync(bytes, TestContext.Current.CancellationToken);

    /// <summary>Reads a request with a body of this length and sends the body back.</summary>
    public async Task EchoAsync(int length)
    {
        var body = await ReadBodyAsync(length);
        await SendAsync($"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        await SendAsync(body);
    }

    /// <summary>Reads a request with a body of this length.</summary>
    public async Task<ReadOnlyMemory<byte>> ReadBodyAsync(int length)
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

        return all.ToArray().AsMemory(head);
    }

    /// <summary>Until the other side is gone, by FIN or by RST.</summary>
    public async Task WaitForGoneAsync()
    {
        while (await ReceiveAsync() > 0)
        {
            // What still came is of no interest.
        }
    }

    /// <summary>All that comes before the other side is gone.</summary>
    public async Task<string> ReadToEndAsync()
    {
        while (await MoreAsync())
        {
            // More of it.
        }

        return Encoding.Latin1.GetString(await TakeAsync(unread.Count));
    }

    public Socket Socket => socket;

    /// <summary>Sends a FIN.</summary>
    public void SayGoodbye() => socket.Shutdown(SocketShutdown.Both); // over loopback the FIN is there when this returns

    /// <summary>Closes with a reset.</summary>
    public void Reset()
    {
        socket.LingerState = new LingerOption(true, 0);
        socket.Dispose();
    }

    public void Dispose() => stream.Dispose();

    /// <summary>Everything up to an end, with it.</summary>
    public async Task<byte[]> ThroughAsync(string end)
    {
        var mark = Encoding.Latin1.GetBytes(end);
        int at;
        while ((at = System.Runtime.InteropServices.CollectionsMarshal.AsSpan(unread).IndexOf(mark)) < 0) Assert.True(await MoreAsync(), "the connection ended in the middle of an answer");
        return await TakeAsync(at + mark.Length);
    }

    private async Task<byte[]> TakeAsync(int count)
    {
        while (unread.Count < count) Assert.True(await MoreAsync(), "the connection ended in the middle of an answer");
        var taken = unread.GetRange(0, count).ToArray();
        unread.RemoveRange(0, count);
        return taken;
    }

    private async Task<bool> MoreAsync()
    {
        var count = await ReceiveAsync();
        unread.AddRange(buffer.AsSpan(0, count));
        return count > 0;
    }

    /// <summary>How many bytes came; 0 when the other side is gone.</summary>
    public async Task<int> ReceiveAsync()
    {
        try
        {
            return await stream.ReadAsync(buffer, TestContext.Current.CancellationToken);
        }
        catch (IOException)
        {
            return 0;
        }
    }
}
