using System.Buffers.Text;
using System.Text;
using Proxy.Buffers;

namespace Proxy.Transport;

/// <summary>Writes the head of a request to one host. What every request has in common is prepared once.</summary>
internal sealed class RequestHead
{
    // The same few names head every request's lines. A lost race costs one more object.
    private static readonly LineStart?[] starts = new LineStart?[64];

    private readonly byte[] common;

    /// <param name="Bytes">The name, a colon and a space; null where it may not be sent.</param>
    private sealed record LineStart(string Name, byte[]? Bytes);

    public RequestHead(UpstreamTarget target)
    {
        using var bytes = new PooledBody(512);
        bytes.Write(" HTTP/1.1\r\nHost: "u8);
        bytes.Write(Encoding.ASCII.GetBytes(Authority(target.Address)));
        bytes.Write("\r\nAccept-Encoding: identity\r\n"u8);
        foreach (var header in target.Headers) Write(bytes, header);
        common = bytes.Span.ToArray();
    }

    public void Write(PooledBody output, in UpstreamRequest request)
    {
        Ascii(output, request.Method);
        output.Write(" "u8);
        WritePath(output, request.Path);
        output.Write(common);
        if (request.ContentType is { } type) Write(output, new("Content-Type", type));
        foreach (var header in request.Headers) Write(output, header);
        if (request.Body.IsEmpty && request.Method is not ("POST" or "PUT" or "PATCH"))
        {
            output.Write("\r\n"u8);
            return;
        }

        output.Write("Content-Length: "u8);
        Utf8Formatter.TryFormat(request.Body.Length, output.GetSpan(20), out var digits);
        output.Advance(digits);
        output.Write("\r\n\r\n"u8);
    }

    /// <summary>Whether a caller may set this header; the others are the client's own business.</summary>
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

    private static void Write(PooledBody output, UpstreamHeader header)
    {
        var (name, value) = header;
        if (StartOf(name) is not { } start) return;
        var room = output.GetSpan(start.Length + value.Length * 3 + 2);
        start.CopyTo(room);
        var at = start.Length;
        if (AsciiText.TryCopy(value, room[at..]))
        {
            at += value.Length;
        }
        else
        {
            // A line break would begin another header: a header that has one is left out.
            if (value.AsSpan().IndexOfAny('\r', '\n', '\0') >= 0) return;
            at += Encoding.UTF8.GetBytes(value, room[at..]);
        }

        room[at] = (byte)'\r';
        room[at + 1] = (byte)'\n';
        output.Advance(at + 2);
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

    private static void Ascii(PooledBody output, string text)
    {
        System.Text.Ascii.FromUtf16(text, output.GetSpan(text.Length), out var written);
        output.Advance(written);
    }

    // What may not stand in a request line is escaped, so that no path can end it.
    private static void WritePath(PooledBody output, string path)
    {
        if (path.AsSpan().IndexOfAnyExceptInRange('!', '~') < 0)
        {
            Ascii(output, path);
            return;
        }

        foreach (var next in Encoding.UTF8.GetBytes(path))
        {
            if (next is > 0x20 and < 0x7f) output.Write([next]);
            else output.Write([(byte)'%', (byte)"0123456789ABCDEF"[next >> 4], (byte)"0123456789ABCDEF"[next & 15]]);
        }
    }
}
