namespace Proxy.Chat;

/// <summary>Tells a stream from a document by its first bytes, because the content type that a host sends is often wrong.</summary>
internal static class FirstBytes
{
    private static ReadOnlySpan<byte> Mark => "\uFEFF"u8;

    /// <summary>
    /// The length of the byte order mark at the beginning, which belongs to neither frame nor document. Null while the bytes so far may still become one.
    /// </summary>
    public static int? MarkLength(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length > 0 && bytes[0] != Mark[0]) return 0; // by far the most common case
        if (bytes.StartsWith(Mark)) return Mark.Length;
        return bytes.Length < Mark.Length && Mark.StartsWith(bytes) ? null : 0;
    }

    /// <summary>True if the bytes (without a byte order mark) begin a stream. Null while too few bytes have arrived to tell.</summary>
    /// <param name="saidSo">True if the host sent a stream's content type. It is believed unless the bytes contradict it.</param>
    public static bool? Streams(ReadOnlySpan<byte> bytes, StreamFraming framing, bool saidSo)
    {
        bytes = bytes.TrimStart(" \t\r\n"u8);
        if (bytes.IsEmpty) return null;
        return framing is StreamFraming.ServerSentEvents ? BeginsEvent(bytes, saidSo) : BeginsLine(bytes, saidSo);
    }

    private static bool? BeginsEvent(ReadOnlySpan<byte> bytes, bool saidSo)
    {
        switch (bytes[0])
        {
            case (byte)':': return true; // a comment
            case (byte)'{' or (byte)'[' or (byte)'<': return false;
            case (byte)'d': return Begins(bytes, "data:"u8, saidSo);
            case (byte)'e': return Begins(bytes, "event:"u8, saidSo);
            case (byte)'i': return Begins(bytes, "id:"u8, saidSo);
            case (byte)'r': return Begins(bytes, "retry:"u8, saidSo);
            default: return saidSo;
        }
    }

    private static bool? Begins(ReadOnlySpan<byte> bytes, ReadOnlySpan<byte> field, bool saidSo) =>
        bytes.StartsWith(field) ? true : bytes.Length < field.Length && field.StartsWith(bytes) ? null : saidSo;

    // In a JSON lines stream each line is a complete object. A document may be just as short, without a trailing newline, or span many lines.
    private static bool? BeginsLine(ReadOnlySpan<byte> bytes, bool saidSo)
    {
        if (bytes[0] != '{') return saidSo;
        var inside = bytes[1..].TrimStart(" \t\r"u8);
        if (inside.IsEmpty) return null;
        if (inside[0] == '\n') return false;
        return saidSo || inside.Contains((byte)'\n') ? true : null;
    }
}
