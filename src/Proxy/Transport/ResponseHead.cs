using System.Buffers;
using System.Buffers.Text;
using System.Text;

namespace Proxy.Transport;

/// <summary>A response's head as it stands on the wire (RFC 9112). Only headers that may cross to a client become strings.</summary>
internal struct ResponseHead
{
    public const int MaxBytes = 64 * 1024;

    // What a header may consist of so that a client's server can send it on.
    private static readonly SearchValues<byte> Printable = SearchValues.Create([(byte)'\t', .. Enumerable.Range(0x20, 0x5f).Select(code => (byte)code)]);
    private static readonly SearchValues<byte> Token = SearchValues.Create("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"u8);

    // The same few strings come with every response. A lost race costs one more string.
    private static readonly string?[] seen = new string?[64];

    public int Status;
    public string? ContentType;
    public long? ContentLength;
    public string? ContentEncoding;
    public List<UpstreamHeader>? Headers;
    public BodyFraming Body;

    /// <summary>The connection may serve another request after this body.</summary>
    public bool KeepAlive;

    /// <summary>How long the host keeps an idle connection, in seconds, if it said so.</summary>
    public int? KeepAliveSeconds;

    /// <summary>How many bytes the head has, its blank line included; 0 while it is not whole. <paramref name="scanned"/> is where the search goes on.</summary>
    public static int FindEnd(ReadOnlySpan<byte> bytes, ref int scanned)
    {
        while (scanned < bytes.Length)
        {
            var line = bytes[scanned..].IndexOf((byte)'\n');
            if (line < 0) break;
            var next = scanned + line + 1;
            if (next < bytes.Length && bytes[next] == '\n') return next + 1;
            if (next + 1 < bytes.Length && bytes[next] == '\r' && bytes[next + 1] == '\n') return next + 2;
            if (next + 1 >= bytes.Length) return 0; // the line's end is looked at again
            scanned = next;
        }

        return 0;
    }

    /// <summary>False as soon as the first bytes cannot begin an HTTP/1.x response.</summary>
    public static bool CanBegin(ReadOnlySpan<byte> bytes)
    {
        var start = "HTTP/1."u8;
        return start[..Math.Min(start.Length, bytes.Length)].SequenceEqual(bytes[..Math.Min(start.Length, bytes.Length)]);
    }

    /// <summary>Reads a whole head. Folded lines are unfolded in place. Returns what is wrong with it, or null.</summary>
    /// <param name="bodyless">The request was HEAD.</param>
    public static string? Read(Span<byte> bytes, bool bodyless, out ResponseHead head)
    {
        head = default;
        if (bytes.Length > MaxBytes) return $"its head is larger than {MaxBytes} bytes"; // whole, if all of it came at once
        var at = bytes.IndexOf((byte)'\n') + 1;
        var line = TrimEnd(bytes[..at]);
        if (line.Length < 12 || !CanBegin(line) || line[7] is not ((byte)'0' or (byte)'1') || line[8] != ' ' || (line.Length > 12 && line[12] != ' ')) return "its first line is not an HTTP/1.x status line";
        if (!Utf8Parser.TryParse(line[9..12], out int status, out var digits) || digits != 3 || status < 100) return "its status is not a number";

        head.Status = status;
        head.KeepAlive = line[7] == '1';
        var isOld = line[7] == '0';
        var chunked = false;
        while (at < bytes.Length)
        {
            var length = LineLength(bytes[at..]);
            line = TrimEnd(bytes.Slice(at, length));
            at += length;
            if (line.IsEmpty) break;

            var colon = line.IndexOf((byte)':');
            if (colon <= 0 || line[..colon].IndexOfAnyExcept(Token) >= 0) return "a header line is malformed";
            if (head.ReadHeader(line[..colon], line[(colon + 1)..].Trim(" \t"u8), ref chunked) is { } fault) return fault;
        }

        if (chunked)
        {
            // Both a length and chunks: chunks win, and nobody knows where the next response would begin.
            if (head.ContentLength is not null || isOld) head.KeepAlive = false;
            head.ContentLength = null;
        }

        head.Body = bodyless || status is 204 or 304 || status < 200 ? BodyFraming.Empty
            : chunked ? BodyFraming.Chunked
            : head.ContentLength is { } whole ? BodyFraming.OfLength(whole)
            : BodyFraming.UntilClose;
        if (!head.Body.Done && !chunked && head.ContentLength is null) head.KeepAlive = false;
        return null;
    }

    /// <summary>Whether a header of this name (any case) may cross from a host to a client, content-type and content-length apart.</summary>
    public static bool MayCross(ReadOnlySpan<byte> name) => (name[0] | 0x20) switch
    {
        'x' => Is(name, "x-request-id"u8) || Is(name, "x-should-retry"u8) || Is(name, "x-token-count"u8) || StartsWith(name, "x-ratelimit-"u8),
        'r' => StartsWith(name, "retry-after"u8) || Is(name, "request-id"u8) || StartsWith(name, "ratelimit"u8),
        'o' => StartsWith(name, "openai-"u8),
        'a' => StartsWith(name, "anthropic-"u8),
        _ => false,
    };

    private string? ReadHeader(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value, ref bool chunked)
    {
        switch (name.Length)
        {
            case 10 when Is(name, "connection"u8):
                if (HasToken(value, "close"u8)) KeepAlive = false;
                else if (HasToken(value, "keep-alive"u8)) KeepAlive = true;
                return null;
            case 10 when Is(name, "keep-alive"u8):
                var parameter = IndexOfIgnoringCase(value, "timeout="u8);
                if (parameter >= 0 && Utf8Parser.TryParse(value[(parameter + 8)..], out int seconds, out _)) KeepAliveSeconds = seconds;
                return null;
            case 12 when Is(name, "content-type"u8):
                ContentType = Text(value, lower: false);
                return null;
            case 14 when Is(name, "content-length"u8):
                return ReadLength(value);
            case 16 when Is(name, "content-encoding"u8):
                if (!Is(value, "identity"u8)) ContentEncoding = Text(value, lower: false);
                return null;
            case 17 when Is(name, "transfer-encoding"u8):
                if (Is(value, "identity"u8)) return null;
                if (chunked || !Is(value, "chunked"u8)) return "its transfer encoding is not one that was asked for";
                chunked = true;
                return null;
            default:
                if (!MayCross(name) || Text(value, lower: false) is not { } text) return null;
                (Headers ??= []).Add(new(Text(name, lower: true)!, text));
                return null;
        }
    }

    private string? ReadLength(ReadOnlySpan<byte> value)
    {
        // The same length twice is one length; anything else could end the body in two places.
        while (true)
        {
            var comma = value.IndexOf((byte)',');
            var one = comma < 0 ? value : value[..comma].TrimEnd(" \t"u8);
            if (one.IsEmpty || one.IndexOfAnyExceptInRange((byte)'0', (byte)'9') >= 0 || !Utf8Parser.TryParse(one, out long length, out _)) return "its content length is not a number";
            if (ContentLength is { } other && other != length) return "it has two content lengths";
            ContentLength = length;
            if (comma < 0) return null;
            value = value[(comma + 1)..].TrimStart(" \t"u8);
        }
    }

    // Up to and including the line feed that the next line does not continue; what folded it is blanked.
    private static int LineLength(Span<byte> bytes)
    {
        var at = 0;
        while (true)
        {
            var end = bytes[at..].IndexOf((byte)'\n');
            if (end < 0) return bytes.Length;
            at += end + 1;
            if (at >= bytes.Length || bytes[at] is not ((byte)' ' or (byte)'\t')) return at;
            bytes[at - 1] = (byte)' ';
            if (at >= 2 && bytes[at - 2] == '\r') bytes[at - 2] = (byte)' ';
        }
    }

    private static Span<byte> TrimEnd(Span<byte> line)
    {
        if (line.EndsWith("\n"u8)) line = line[..^1];
        return line.EndsWith("\r"u8) ? line[..^1] : line;
    }

    // Null for what may not be sent on.
    private static string? Text(ReadOnlySpan<byte> bytes, bool lower)
    {
        if (bytes.IsEmpty) return "";
        ref var slot = ref seen[(bytes.Length * 31 + bytes[^1] + (lower ? 7 : 0)) & 63];
        if (slot is { } same && (lower ? Ascii.EqualsIgnoreCase(bytes, same) : Ascii.Equals(bytes, same))) return same;
        if (bytes.IndexOfAnyExcept(Printable) >= 0) return null;
        var text = Encoding.ASCII.GetString(bytes);
        return slot = lower ? text.ToLowerInvariant() : text;
    }

    private static bool Is(ReadOnlySpan<byte> name, ReadOnlySpan<byte> expected) => Ascii.EqualsIgnoreCase(name, expected);

    private static bool StartsWith(ReadOnlySpan<byte> name, ReadOnlySpan<byte> prefix) => name.Length >= prefix.Length && Ascii.EqualsIgnoreCase(name[..prefix.Length], prefix);

    private static bool HasToken(ReadOnlySpan<byte> list, ReadOnlySpan<byte> token)
    {
        foreach (var part in list.Split((byte)','))
        {
            if (Is(list[part].Trim(" \t"u8), token)) return true;
        }

        return false;
    }

    private static int IndexOfIgnoringCase(ReadOnlySpan<byte> text, ReadOnlySpan<byte> part)
    {
        for (var at = 0; at + part.Length <= text.Length; at++)
        {
            if (Is(text.Slice(at, part.Length), part)) return at;
        }

        return -1;
    }
}
