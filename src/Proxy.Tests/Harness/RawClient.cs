using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;

namespace Proxy.Tests.Harness;

/// <summary>A client on a raw TCP socket: it sends exactly the given bytes, reads when the test wants it to, and can leave at any moment.</summary>
internal sealed class RawClient : IAsyncDisposable
{
    private readonly Socket socket;
    private readonly Uri address;
    private readonly byte[] buffer = new byte[64 * 1024];
    private readonly List<byte> held = [];
    private readonly List<byte> body = [];
    private int chunkLeft = -1;
    private bool chunked;
    private long? length;

    private RawClient(Socket socket, Uri address)
    {
        this.socket = socket;
        this.address = address;
    }

    public int Status { get; private set; }

    public IReadOnlyList<(string Name, string Value)> Headers { get; private set; } = [];

    /// <summary>The part of the body that has been read, without its framing.</summary>
    public byte[] BytesSoFar => [.. body];

    /// <inheritdoc cref="BytesSoFar"/>
    public string BodySoFar => Encoding.UTF8.GetString([.. body]);

    public static async Task<RawClient> ConnectAsync(Uri address, int? receiveBuffer = null)
    {
        // The address of a unix socket is unix:/path.
        var socket = address.Scheme == "unix"
            ? new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified) : new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        if (receiveBuffer is { } size)
            socket.ReceiveBufferSize = size;
        EndPoint end = address.Scheme == "unix"
            ? new UnixDomainSocketEndPoint(address.AbsolutePath) : new IPEndPoint(IPAddress.Parse(address.DnsSafeHost), address.Port);
        await socket.ConnectAsync(end);
        return new RawClient(socket, address);
    }

    /// <summary>One exchange on a connection of its own.</summary>
    public static async Task<RawReply> SendAsync(Uri address, string method, string path, ReadOnlyMemory<byte>? content = null, params string[] headers)
    {
        await using var client = await ConnectAsync(address);
        await client.RequestAsync(method, path, content, headers);
        return await client.ReadReplyAsync(method);
    }

    public async Task SendAsync(ReadOnlyMemory<byte> bytes)
    {
        while (!bytes.IsEmpty)
            bytes = bytes[await socket.SendAsync(bytes)..];
    }

    /// <summary>Sends a request; a header of the caller replaces the usual one of that name.</summary>
    public Task RequestAsync(string method, string path, ReadOnlyMemory<byte>? content = null, params string[] headers)
    {
        var head = new StringBuilder($"{method} {path} HTTP/1.1\r\n");
        foreach (var usual in Usual().Where(usual => !headers.Any(header => header.StartsWith(usual.Split(':')[0] + ":", StringComparison.OrdinalIgnoreCase))))
            head.Append(usual).Append("\r\n");
        foreach (var header in headers)
            head.Append(header).Append("\r\n");
        head.Append("\r\n");
        return SendAsync((byte[])[.. Encoding.UTF8.GetBytes(head.ToString()), .. (content ?? default).Span]);

        IEnumerable<string> Usual()
        {
            yield return $"Host: {(address.Scheme == "unix" ? "localhost" : address.Authority)}";
            if (content is not { } bytes)
                yield break;
            yield return "Content-Type: application/json";
            if (!headers.Any(header => header.StartsWith("Transfer-Encoding:", StringComparison.OrdinalIgnoreCase)))
                yield return $"Content-Length: {bytes.Length}";
        }
    }

    /// <summary>Reads the status and the headers, but not the body.</summary>
    public async Task ReadHeadAsync()
    {
        while (true)
        {
            var head = Encoding.UTF8.GetString(await ThroughAsync("\r\n\r\n"u8.ToArray())
                ?? throw new IOException("the proxy closed the connection without an answer"));
            var lines = head.Split("\r\n", StringSplitOptions.RemoveEmptyEntries);
            Status = int.Parse(lines[0].Split(' ')[1], CultureInfo.InvariantCulture);
            if (Status is >= 100 and < 200)
                continue;

            Headers = [.. lines.Skip(1).Select(line => line.Split(':', 2)).Select(pair => (pair[0], pair[1].Trim()))];
            chunked = Value("transfer-encoding")?.Contains("chunked", StringComparison.OrdinalIgnoreCase) == true;
            length = Value("content-length") is { } text ? long.Parse(text, CultureInfo.InvariantCulture) : Status is 204 or 304 ? 0 : null;
            body.Clear();
            chunkLeft = -1;
            return;
        }

        string? Value(string name) => Headers.FirstOrDefault(header => header.Name.Equals(name, StringComparison.OrdinalIgnoreCase)).Value;
    }

    /// <summary>Waits for <c>100 Continue</c>.</summary>
    public async Task ReadInterimAsync()
    {
        var head = Encoding.ASCII.GetString(await ThroughAsync("\r\n\r\n"u8.ToArray()) ?? []);
        if (!head.StartsWith("HTTP/1.1 100 ", StringComparison.Ordinal))
            throw new IOException($"no interim answer came but: {head}");
    }

    /// <summary>Reads until the body so far contains <paramref name="text"/>.</summary>
    public async Task ReadUntilAsync(string text)
    {
        while (!BodySoFar.Contains(text, StringComparison.Ordinal))
        {
            if (await PieceAsync() != Piece.Bytes)
                throw new IOException($"the body ended before '{text}' came; it was: {BodySoFar}");
        }
    }

    /// <summary>Reads what comes next of the body. False: it has ended.</summary>
    public async Task<bool> ReadPieceAsync() => await PieceAsync() == Piece.Bytes;

    /// <summary>Reads the answer to its end.</summary>
    public async Task<RawReply> ReadReplyAsync(string method = "POST")
    {
        await ReadHeadAsync();
        return method == "HEAD" ? new RawReply(Status, Headers, [], true) : await ReadRestAsync();
    }

    /// <summary>Reads the rest of an answer whose head has been read.</summary>
    public async Task<RawReply> ReadRestAsync()
    {
        Piece piece;
        do
            piece = await PieceAsync();
        while (piece == Piece.Bytes);

        return new RawReply(Status, Headers, [.. body], piece == Piece.End);
    }

    /// <summary>Sends FIN and goes on reading.</summary>
    public void HalfClose() => socket.Shutdown(SocketShutdown.Send);

    /// <summary>Reads everything until the proxy ends the connection in any way.</summary>
    public async Task<string> ReadToEndAsync()
    {
        while (await FillAsync())
        {
        }

        return Encoding.Latin1.GetString([.. held]);
    }

    /// <summary>Leaves with RST, as a crashed or impatient client does.</summary>
    public void Reset()
    {
        socket.LingerState = new LingerOption(true, 0);
        socket.Close();
    }

    /// <summary>Leaves with FIN.</summary>
    public void Leave() => socket.Close();

    public ValueTask DisposeAsync()
    {
        socket.Dispose();
        return ValueTask.CompletedTask;
    }

    private enum Piece
    {
        Bytes,
        End,
        Broken,
    }

    private async Task<Piece> PieceAsync()
    {
        if (chunked)
        {
            if (chunkLeft <= 0)
            {
                if (chunkLeft == 0)
                    await TakeAsync(2);
                if (await ThroughAsync("\r\n"u8.ToArray()) is not { } line)
                    return Piece.Broken;
                chunkLeft = int.Parse(Encoding.ASCII.GetString(line).Split(';')[0].Trim(), NumberStyles.HexNumber, CultureInfo.InvariantCulture);
                if (chunkLeft == 0)
                    return await TakeAsync(2) is null ? Piece.Broken : Piece.End;
            }

            if (held.Count == 0 && !await FillAsync())
                return Piece.Broken;
            var now = Math.Min(chunkLeft, held.Count);
            Move(now);
            chunkLeft -= now;
            return Piece.Bytes;
        }

        if (length is { } expected && body.Count >= expected)
            return Piece.End;
        if (held.Count == 0 && !await FillAsync())
            return length is null ? Piece.End : Piece.Broken;
        Move(length is { } limit ? (int)Math.Min(held.Count, limit - body.Count) : held.Count);
        return Piece.Bytes;
    }

    private void Move(int count)
    {
        body.AddRange(held.GetRange(0, count));
        held.RemoveRange(0, count);
    }

    private async Task<byte[]?> ThroughAsync(byte[] end)
    {
        while (true)
        {
            var at = CollectionsMarshal.AsSpan(held).IndexOf(end);
            if (at >= 0)
                return await TakeAsync(at + end.Length);
            if (!await FillAsync())
                return null;
        }
    }

    private async Task<byte[]?> TakeAsync(int count)
    {
        while (held.Count < count)
        {
            if (!await FillAsync())
                return null;
        }

        var taken = held.GetRange(0, count).ToArray();
        held.RemoveRange(0, count);
        return taken;
    }

    private async Task<bool> FillAsync()
    {
        try
        {
            var read = await Patience.For(socket.ReceiveAsync(buffer), "bytes from the proxy");
            held.AddRange(buffer.AsSpan(0, read));
            return read > 0;
        }
        catch (SocketException)
        {
            return false;
        }
    }
}
