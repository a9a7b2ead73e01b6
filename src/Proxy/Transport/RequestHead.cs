using System.Buffers.Text;
using System.Text;
using Proxy.Buffers;

namespace Proxy.Transport;

/// <summary>Writes the head of a request to one host. The part that all requests share is prepared once.</summary>
internal sealed class RequestHead
{
    private const string ContentType = "Content-Type";
    private const string ViaName = "Via";
    private const int LineBreaks = 64; // room for the line breaks and the Content-Length line

    // A cache of header names as bytes: requests use the same few names. Races are harmless: they cost an extra object.
    private static readonly LineStart?[] starts = new LineStart?[64];

    private readonly byte[] common;
    private readonly string? via;
    private readonly int viaLength;

    // The last request line with the shared header lines behind it. Races are harmless: the line is built once more.
    private StartLine? last;

    private sealed record StartLine(string Method, string Path, byte[] Bytes);

    /// <param name="Bytes">The name, a colon and a space; null if the header may not be sent.</param>
    private sealed record LineStart(string Name, byte[]? Bytes);

    public RequestHead(UpstreamTarget target)
    {
        using var bytes = new PooledBody(512);
        bytes.Write(" HTTP/1.1\r\nHost: "u8);
        bytes.Write(Encoding.ASCII.GetBytes(Authority(target.Address)));
        bytes.Write("\r\nAccept-Encoding: identity\r\n"u8);
        foreach (var header in target.Headers)
        {
            var length = 0;
            Put(header, bytes.GetSpan(Most(header.Name, header.Value)), ref length);
            bytes.Advance(length);
        }

        // Last, so that it can be cut off when a call brings its own Via, to which ours is then appended.
        via = target.Via;
        if (via is not null) bytes.Write(Encoding.ASCII.GetBytes($"{ViaName}: {via}\r\n"));
        viaLength = via is null ? 0 : ViaName.Length + via.Length + 4;
        common = bytes.Span.ToArray();
    }

    public void Write(PooledBody output, in UpstreamRequest request)
    {
        var start = last;
        if (start?.Path != request.Path || start.Method != request.Method) last = start = Begin(request.Method, request.Path);
        var type = request.ContentType;
        var most = start.Bytes.Length + LineBreaks + (type is null ? 0 : Most(ContentType, type));
        foreach (var header in request.Headers) most += Most(header.Name, header.Value);
        if (request.Via is { } before) most += Most(ViaName, before);

        var room = output.GetSpan(most);
        start.Bytes.CopyTo(room);
        var at = start.Bytes.Length;
        if (request.Via is not null && via is not null)
        {
            at -= viaLength;
            Put(new(ViaName, $"{request.Via}, {via}"), room, ref at);
        }

        if (type is not null) Put(new(ContentType, type), room, ref at);
        foreach (var header in request.Headers) Put(header, room, ref at);
        if (!request.Body.IsEmpty || request.Method is "POST" or "PUT" or "PATCH")
        {
            "Content-Length: "u8.CopyTo(room[at..]);
            at += "Content-Length: ".Length;
            Utf8Formatter.TryFormat(request.Body.Length, room[at..], out var digits);
            at += digits;
            "\r\n"u8.CopyTo(room[at..]);
            at += 2;
        }

        "\r\n"u8.CopyTo(room[at..]);
        output.Advance(at + 2);
    }

    /// <summary>Whether a caller may set this header; this class writes the others itself.</summary>
    public static bool MaySet(string name) => name.Length switch
    {
        4 => !Is(name, "Host"),
        10 => !Is(name, "Connection"),
        14 => !Is(name, "Content-Length"),
        15 => !Is(name, "Accept-Encoding"),
        17 => !Is(name, "Transfer-Encoding"),
        _ => name.Length > 0,
    };

    private static bool Is(string name, string other) => name.Equals(other, StringComparison.OrdinalIgnoreCase);

    private static string Authority(Uri address)
    {
        var host = address.HostNameType == UriHostNameType.IPv6 ? $"[{address.IdnHost}]" : address.IdnHost;
        return address.IsDefaultPort ? host : $"{host}:{address.Port}";
    }

    private StartLine Begin(string method, string path)
    {
        using var bytes = new PooledBody(512);
        bytes.Write(Encoding.ASCII.GetBytes(method));
        bytes.Write(" "u8);
        WritePath(bytes, path);
        bytes.Write(common);
        return new(method, path, bytes.Span.ToArray());
    }

    private static int Most(string name, string value) => name.Length + value.Length * 3 + 4;

    private static void Put(UpstreamHeader header, Span<byte> room, ref int at)
    {
        var (name, value) = header;
        if (StartOf(name) is not { } start) return;
        var to = at + start.Length;
        start.CopyTo(room[at..]);
        if (AsciiText.TryCopy(value, room[to..]))
        {
            to += value.Length;
        }
        else
        {
            // Header injection: a value with a line break would start another header, so such a header is omitted.
            if (value.AsSpan().IndexOfAny('\r', '\n', '\0') >= 0) return;
            to += Encoding.UTF8.GetBytes(value, room[to..]);
        }

        room[to] = (byte)'\r';
        room[to + 1] = (byte)'\n';
        at = to + 2;
    }

    private static byte[]? StartOf(string name)
    {
        if (name.Length == 0) return null;
        ref var start = ref starts[(name.Length * 5 + name[^1]) & 63];
        if (start is { } known && (ReferenceEquals(known.Name, name) || known.Name == name)) return known.Bytes;
        var bytes = new byte[name.Length + 2];
        bytes[^2] = (byte)':';
        bytes[^1] = (byte)' ';
        start = new(name, AsciiText.TryCopyWord(name, bytes) && !name.Contains(':') && MaySet(name) ? bytes : null);
        return start.Bytes;
    }

    // Percent-encodes every byte that a request line may not contain, so that no path can end the line.
    private static void WritePath(PooledBody output, string path)
    {
        foreach (var next in Encoding.UTF8.GetBytes(path))
        {
            if (next is > 0x20 and < 0x7f) output.Write([next]);
            else output.Write([(byte)'%', (byte)"0123456789ABCDEF"[next >> 4], (byte)"0123456789ABCDEF"[next & 15]]);
        }
    }
}
