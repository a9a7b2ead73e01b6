using System.Buffers;
using System.Buffers.Text;
using System.Text;
using Proxy.Buffers;

namespace Proxy.Transport;

/// <summary>Writes the head of a request to one host. What every request has in common is prepared once.</summary>
internal sealed class RequestHead
{
    private static readonly SearchValues<char> NotInNames = SearchValues.Create("\r\n\0: ");
    private static readonly SearchValues<char> NotInValues = SearchValues.Create("\r\n\0");
    private readonly byte[] common;

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
        if (!request.Body.IsEmpty || request.Method is "POST" or "PUT" or "PATCH")
        {
            output.Write("Content-Length: "u8);
            Utf8Formatter.TryFormat(request.Body.Length, output.GetSpan(20), out var digits);
            output.Advance(digits);
            output.Write("\r\n"u8);
        }

        output.Write("\r\n"u8);
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
        // A line break in a value would be a second header: such a header is left out.
        if (!MaySet(header.Name) || header.Name.AsSpan().ContainsAny(NotInNames) || header.Value.AsSpan().ContainsAny(NotInValues)) return;
        Ascii(output, header.Name);
        output.Write(": "u8);
        var room = output.GetSpan(Encoding.UTF8.GetMaxByteCount(header.Value.Length));
        if (System.Text.Ascii.FromUtf16(header.Value, room, out var written) is not OperationStatus.Done) written = Encoding.UTF8.GetBytes(header.Value, room);
        output.Advance(written);
        output.Write("\r\n"u8);
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
