using System.Globalization;
using System.Net.Sockets;
using System.Text;

namespace Proxy.Tests.Harness;

/// <summary>One request at a fake host, and ways to answer it, correctly or not.</summary>
internal sealed class FakeExchange(FakeRequest request, Socket socket, Task gone)
{
    public FakeRequest Request => request;

    /// <summary>Completes when the other side has closed or reset the connection.</summary>
    public Task Gone => gone;

    /// <summary>Whether this connection may serve another request after this one.</summary>
    public bool Finished { get; private set; }

    /// <summary>Payload bytes that the kernel has accepted so far.</summary>
    public long Sent { get; private set; }

    public async Task SendAsync(ReadOnlyMemory<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            var sent = await socket.SendAsync(bytes);
            bytes = bytes[sent..];
            Sent += sent;
        }
    }

    public Task SendAsync(string text) => SendAsync(Encoding.UTF8.GetBytes(text));

    /// <summary>Sends a complete answer with its length.</summary>
    public async Task WholeAsync(int status, string contentType, ReadOnlyMemory<byte> body, params string[] headers)
    {
        var head = $"HTTP/1.1 {status} {Reason(status)}\r\nContent-Type: {contentType}\r\nContent-Length: {body.Length}\r\n{Lines(headers)}\r\n";
        await SendAsync((byte[])[.. Encoding.ASCII.GetBytes(head), .. body.Span]);
        Finished = true;
    }

    public Task WholeAsync(int status, string contentType, string body, params string[] headers) =>
        WholeAsync(status, contentType, Encoding.UTF8.GetBytes(body), headers);

    public Task JsonAsync(string body, int status = 200, params string[] headers) => WholeAsync(status, "application/json", body, headers);

    /// <summary>Sends the head of an answer whose body comes in chunks.</summary>
    public Task HeadAsync(string contentType, int status = 200, params string[] headers) =>
        SendAsync($"HTTP/1.1 {status} {Reason(status)}\r\nContent-Type: {contentType}\r\nTransfer-Encoding: chunked\r\n{Lines(headers)}\r\n");

    public Task ChunkAsync(ReadOnlyMemory<byte> bytes) =>
        SendAsync((byte[])[.. Encoding.ASCII.GetBytes(bytes.Length.ToString("x", CultureInfo.InvariantCulture) + "\r\n"), .. bytes.Span, .. "\r\n"u8]);

    public Task ChunkAsync(string text) => ChunkAsync(Encoding.UTF8.GetBytes(text));

    /// <summary>Marks the answer as complete, for a script that writes its own framing.</summary>
    public void Finish() => Finished = true;

    /// <summary>Sends the end of a chunked body.</summary>
    public async Task EndAsync()
    {
        await SendAsync("0\r\n\r\n");
        Finished = true;
    }

    /// <summary>Sends a head, each frame as one chunk, and the end.</summary>
    public async Task StreamAsync(string contentType, params string[] frames)
    {
        await HeadAsync(contentType);
        foreach (var frame in frames)
            await ChunkAsync(frame);
        await EndAsync();
    }

    /// <summary>Drops the connection with RST, as a crashed host does.</summary>
    public void Reset()
    {
        socket.LingerState = new LingerOption(true, 0);
        socket.Close();
    }

    /// <summary>Closes the connection with FIN, complete or not.</summary>
    public void Close() => socket.Close();

    /// <summary>Ends an answer whose end is that of the connection, and waits until the other side has closed it too.</summary>
    public Task EndConnectionAsync()
    {
        socket.Shutdown(SocketShutdown.Send);
        return gone;
    }

    /// <summary>Sends nothing more until the other side leaves.</summary>
    public Task StallAsync() => gone;

    private static string Lines(string[] headers) => string.Concat(headers.Select(header => header + "\r\n"));

    private static string Reason(int status) => status switch
    {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Status",
    };
}
