using System.Buffers.Text;
using System.Text;
using CsCheck;
using Proxy.Tests.Harness;
using Proxy.Transport;

namespace Proxy.Tests.Transport;

/// <summary>A host's answer has the same body for our reader of its framing as for the runtime's client, or none for either, however the bytes are cut. Only trailers are not judged here.</summary>
public sealed class BodyFramingAgreementTests
{
    private const string Noise = "0123456789abcdefgG;:=, \t\r\n\"x-+\0\u00e9";

    private static readonly Gen<string> LineEnd = Gen.Frequency((9, Gen.Const("\r\n")), (1, Gen.Const("\n")));

    private static readonly Gen<string> Payload = Gen.Frequency(
        (4, Gen.String[Gen.Char[" abc\r\n0123456789;"], 1, 20]),
        (1, Gen.Int[1, 300].Select(length => new string('x', length))),
        (1, Gen.OneOf("0\r\n\r\n", "\r\n", "5\r\nhello\r\n")));

    private static readonly Gen<string> Size = Gen.OneOf("x", "X", "x4", "X8", "x20");

    private static readonly Gen<string> Extension = Gen.Frequency((8, Gen.Const("")), (1, Gen.OneOf(";a=b", ";a", ";", " ;a=\"b\"", "\t; a")), (1, Gen.OneOf(" ", "\t", " a", ";a\rb")));

    private static readonly Gen<string> Chunk = Gen.Select(Payload, Size, Extension, LineEnd, LineEnd, (payload, size, extension, first, second) =>
        payload.Length.ToString(size, System.Globalization.CultureInfo.InvariantCulture) + extension + first + payload + second);

    private static readonly Gen<string> Trailer = Gen.Select(Gen.OneOf("X-Sum", "etag", "Content-Length", "Transfer-Encoding"), Gen.OneOf("", "1", "chunked", "a b"), LineEnd, (name, value, end) => $"{name}: {value}{end}");

    private static readonly Gen<string> Chunked = Gen.Select(Chunk.Joined(4), Gen.OneOf("0", "00", "0;a=b"), LineEnd, Trailer.Joined(2), LineEnd, Gen.OneOf("", "", "more"),
        (chunks, last, first, trailers, second, more) => chunks + last + first + trailers + second + more);

    private static readonly Gen<(string Head, string Body)> Answer = Gen.OneOf(
        Gen.Select(Gen.OneOf("Transfer-Encoding: chunked\r\n", "transfer-encoding: Chunked\r\n", "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"), Chunked.Disturbed(Noise)),
        Gen.Select(Gen.Int[0, 30].Select(length => $"Content-Length: {length}\r\n"), Payload.Joined(3)),
        Gen.Select(Gen.OneOf("Server: x\r\n", "Connection: close\r\n"), Payload.Joined(3)));

    private static readonly Gen<string> StatusLine = Gen.Frequency((9, Gen.Const("HTTP/1.1 200 OK\r\n")), (1, Gen.OneOf("HTTP/1.1 204 No Content\r\n", "HTTP/1.1 500 \r\n", "HTTP/1.0 200 OK\r\n")));

    [Fact]
    public async Task Body_Is_the_same_for_both_however_it_is_cut()
    {
        var cut = Array.Empty<byte[]>();
        using var handler = new SocketsHttpHandler { ConnectCallback = (_, _) => ValueTask.FromResult<Stream>(new Pieces(cut)), MaxConnectionsPerServer = 1, PooledConnectionLifetime = TimeSpan.Zero };
        using var client = new HttpClient(handler);

        await Gen.Select(StatusLine, Answer, Gen.Int[1, 40].Array[1, 8]).HoldsAsync(5000, input => $"{Properties.Shown(input.Item1 + input.Item2.Head + "\r\n" + input.Item2.Body)} in pieces of {string.Join(", ", input.Item3)}", async input =>
        {
            var (line, (fields, text), sizes) = input;
            var head = Encoding.Latin1.GetBytes(line + fields + "\r\n");
            var body = Encoding.Latin1.GetBytes(text);
            cut = Cut([.. head, .. body], sizes);

            var theirs = await TheirsAsync(client);
            var ours = Ours(head, Cut(body, sizes));
            if (theirs is null && ours is not null && EndOfLastChunk(body) is { } end)
            {
                cut = Cut([.. head, .. body.AsSpan(0, end), .. "\r\n"u8], sizes);
                theirs = await TheirsAsync(client);
            }

            Assert.Equal(theirs, ours);
        });
    }

    private static byte[][] Cut(byte[] bytes, int[] sizes)
    {
        var pieces = new List<byte[]>();
        for (var at = 0; at < bytes.Length; at += pieces[^1].Length) pieces.Add(bytes[at..Math.Min(at + sizes[pieces.Count % sizes.Length], bytes.Length)]);
        return [.. pieces];
    }

    /// <summary>The body; null when the answer is not whole, or no answer.</summary>
    private static string? Ours(byte[] head, byte[][] pieces)
    {
        if (ResponseHead.Read(head, bodyless: false, out var read) is not null) return null;
        var framing = read.Body;
        var body = new StringBuilder();
        foreach (var piece in pieces)
        {
            if (framing.Done || framing.Fault is not null) break;
            var length = framing.Unframe(piece, out var start, out var used);
            Assert.True(used == piece.Length || framing.Done || framing.Fault is not null, "bytes were left over");
            body.Append(Encoding.Latin1.GetString(piece, start, length));
        }

        framing.Close();
        return framing.Fault is null && framing.Done ? body.ToString() : null;
    }

    private static async Task<string?> TheirsAsync(HttpClient client)
    {
        try
        {
            using var answer = await client.GetAsync(new Uri("http://host/"));
            return Encoding.Latin1.GetString(await answer.Content.ReadAsByteArrayAsync());
        }
        catch (HttpRequestException)
        {
            return null;
        }
    }

    /// <summary>Where the trailers begin. Ours are passed over unread, so that a malformed one does not spoil a body that is whole; the runtime's client refuses it.</summary>
    private static int? EndOfLastChunk(ReadOnlySpan<byte> body)
    {
        var at = 0;
        while (body[at..].IndexOf((byte)'\n') is var line and >= 0)
        {
            if (!Utf8Parser.TryParse(body[at..], out int size, out var digits, 'x') || digits == 0) return null;
            at += line + 1;
            if (size == 0) return at;
            at += size;
            at += body[at..].StartsWith("\r\n"u8) ? 2 : 1;
        }

        return null;
    }

    /// <summary>What a host sends, piece by piece, after anything was sent to it; then it is gone.</summary>
    private sealed class Pieces(byte[][] pieces) : Stream
    {
        private int next;

        public override bool CanRead => true;
        public override bool CanWrite => true;
        public override bool CanSeek => false;
        public override long Length => throw new NotSupportedException();

        public override long Position
        {
            get => throw new NotSupportedException();
            set => throw new NotSupportedException();
        }

        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            if (buffer.IsEmpty || next == pieces.Length) return new(0);
            var taken = Math.Min(pieces[next].Length, buffer.Length);
            pieces[next].AsSpan(0, taken).CopyTo(buffer.Span);
            if (taken == pieces[next].Length) next++;
            else pieces[next] = pieces[next][taken..];
            return new(taken);
        }

        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) => default;

        public override void Flush()
        {
            // Nothing is kept.
        }

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();
        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();
        public override void SetLength(long value) => throw new NotSupportedException();
    }
}
