using System.Buffers;
using System.Buffers.Text;
using System.Net;
using System.Text;

namespace Proxy.Transport.Http1;

/// <summary>
/// Reads the head of a plain request: one that there are no two opinions about. All others are somebody else's to read, to serve or to refuse.
/// Plain is GET or POST of a path of common letters in HTTP/1.1, complete, up to 8 KiB and 48 fields, no field twice, with one host, with a decimal Content-Length if and only if it is a POST,
/// and with nothing that changes how the connection goes on (RFC 9112 §2–§7).
/// A client's next head is mostly its last one over again: lines that are the same are not read again, and their strings stay the same objects.
/// </summary>
internal sealed class RequestReader
{
    private const int Longest = 8192;
    private const int MostFields = 48;
    private const long LargestBody = 1L << 40;

    private static readonly SearchValues<byte> TokenBytes = SearchValues.Create("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"u8);
    private static readonly SearchValues<byte> PathBytes = SearchValues.Create("/-_.:@0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"u8);
    private static readonly SearchValues<byte> NameBytes = SearchValues.Create("-_.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"u8);
    private static readonly SearchValues<byte> AddressBytes = SearchValues.Create(":.0123456789ABCDEFabcdef"u8);

    private byte[] requestLine = [];
    private Line[] lines = new Line[12];
    private int known; // lines that were read before, of whichever head
    private int distinct; // of them, from the first on, those that are known to differ in name

    private enum Meaning : byte
    {
        None,
        Host,
        ContentLength,
        Unplain,
    }

    private struct Line
    {
        public byte[] Bytes; // with its end
        public Meaning Meaning;
        public long Number;
    }

    public HeaderFields Fields { get; } = new();
    public string Method { get; private set; } = "";
    public string Path { get; private set; } = "";

    /// <summary>Bytes of body that follow the head.</summary>
    public long BodyLength { get; private set; }

    /// <summary>Reads a head from the front of what came. False when it is not plain, or not there as a whole.</summary>
    public bool TryRead(ReadOnlySpan<byte> bytes, out int length)
    {
        length = 0;
        if (bytes.Length > Longest) bytes = bytes[..Longest];
        if (!bytes.StartsWith(requestLine) || requestLine.Length == 0)
        {
            if (!TryReadRequestLine(bytes)) return false;
        }

        var at = requestLine.Length;
        var count = 0;
        var hosts = 0;
        long? bodyLength = null;
        while (true)
        {
            var rest = bytes[at..];
            if (rest.StartsWith("\r\n"u8)) break;
            if (count == MostFields) return false;
            if ((count >= known || !rest.StartsWith(lines[count].Bytes)) && !TryReadLine(rest, count)) return false;

            ref var line = ref lines[count];
            at += line.Bytes.Length;
            count++;
            switch (line.Meaning)
            {
                case Meaning.Host:
                    hosts++;
                    break;
                case Meaning.ContentLength:
                    bodyLength = line.Number;
                    break;
                case Meaning.Unplain:
                    return false;
            }
        }

        Fields.Keep(count);
        if (hosts != 1 || bodyLength.HasValue != (Method == "POST")) return false;
        if (count > distinct)
        {
            if (HasTwins()) return false;
            distinct = count;
        }

        BodyLength = bodyLength ?? 0;
        length = at + 2;
        return true;
    }

    private bool TryReadRequestLine(ReadOnlySpan<byte> bytes)
    {
        requestLine = [];
        var end = bytes.IndexOf("\r\n"u8);
        if (end < 0) return false;
        var line = bytes[..end];
        var method = line.StartsWith("POST "u8) ? "POST" : line.StartsWith("GET "u8) ? "GET" : null;
        if (method is null || !line.EndsWith(" HTTP/1.1"u8) || line.Length < method.Length + " / HTTP/1.1".Length) return false;
        var path = line[(method.Length + 1)..^" HTTP/1.1".Length];
        if (path[0] != '/' || path.ContainsAnyExcept(PathBytes) || path.IndexOf("/."u8) >= 0 || path.IndexOf("//"u8) >= 0) return false;
        Method = method;
        Path = Encoding.ASCII.GetString(path);
        requestLine = bytes[..(end + 2)].ToArray();
        return true;
    }

    private bool TryReadLine(ReadOnlySpan<byte> rest, int index)
    {
        var end = rest.IndexOf((byte)'\r');
        if (end < 0 || end + 1 >= rest.Length || rest[end + 1] != '\n') return false;
        var line = rest[..end];
        var colon = line.IndexOf((byte)':');
        if (colon <= 0 || line[..colon].ContainsAnyExcept(TokenBytes)) return false;
        var value = line[(colon + 1)..].Trim((byte)' ');
        if (value.ContainsAnyExceptInRange((byte)' ', (byte)'~')) return false;
        var name = Encoding.ASCII.GetString(line[..colon]);
        if (index == lines.Length) Array.Resize(ref lines, index * 2);
        lines[index] = new() { Bytes = rest[..(end + 2)].ToArray(), Meaning = MeaningOf(name, value, out var number), Number = number };
        Fields.Put(index, name, Encoding.ASCII.GetString(value));
        known = Math.Max(known, index + 1);
        distinct = Math.Min(distinct, index); // also where the head turns out incomplete: its lines are known when it is read again
        return true;
    }

    private static Meaning MeaningOf(string name, ReadOnlySpan<byte> value, out long number)
    {
        number = 0;
        switch (name.ToLowerInvariant())
        {
            case "host":
                return IsHost(value) ? Meaning.Host : Meaning.Unplain;
            case "content-length":
                return value.Length is > 0 and < 16 && !value.ContainsAnyExceptInRange((byte)'0', (byte)'9') && Utf8Parser.TryParse(value, out number, out _) && number <= LargestBody ? Meaning.ContentLength : Meaning.Unplain;
            case "connection":
                return Ascii.EqualsIgnoreCase(value, "keep-alive"u8) ? Meaning.None : Meaning.Unplain;
            case "transfer-encoding" or "te" or "trailer" or "upgrade" or "http2-settings" or "expect" or "proxy-connection":
                return Meaning.Unplain;
            default:
                return Meaning.None;
        }
    }

    /// <summary><c>name</c> or <c>[v6]</c>, and a port that has digits.</summary>
    private static bool IsHost(ReadOnlySpan<byte> value)
    {
        int end; // of the name or the address
        if (value.StartsWith((byte)'['))
        {
            end = value.IndexOf((byte)']') + 1;
            if (end < "[::1]".Length) return false;
            var address = value[1..(end - 1)];
            if (address.ContainsAnyExcept(AddressBytes) || !address.Contains((byte)':') || !IPAddress.IsValidUtf8(address)) return false;
        }
        else
        {
            end = value.IndexOfAnyExcept(NameBytes) is var other and >= 0 ? other : value.Length;
        }

        var port = value[end..];
        return end > 0 && (port.IsEmpty || (port[0] == ':' && port.Length is > 1 and <= 6 && !port[1..].ContainsAnyExceptInRange((byte)'0', (byte)'9')));
    }

    private bool HasTwins()
    {
        var fields = Fields.Fields;
        for (var i = 1; i < fields.Length; i++)
        {
            for (var j = 0; j < i; j++)
            {
                if (fields[i].Key.Length == fields[j].Key.Length && fields[i].Key.Equals(fields[j].Key, StringComparison.OrdinalIgnoreCase)) return true;
            }
        }

        return false;
    }
}
