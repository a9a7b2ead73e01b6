namespace Proxy.Documents;

/// <summary>Says what a file is by its first bytes.</summary>
internal static class FormatSniffer
{
    public const int HeadBytes = 4096;

    /// <summary>Formats that are known but not read, by what their files begin with.</summary>
    private static readonly (byte[] Mark, string Name)[] Others =
    [
        ([0xD0, 0xCF, 0x11, 0xE0, 0xA1, 0xB1, 0x1A, 0xE1],
            "an Office file of the old binary format (.doc, .xls, .ppt) or one with a password; save it as .docx, .xlsx, .pptx or PDF without a password"),
        ("{\\rtf"u8.ToArray(), "RTF; save it as .docx or PDF"),
        ([0x89, (byte)'P', (byte)'N', (byte)'G'], "a picture (PNG)"),
        ([0xFF, 0xD8, 0xFF], "a picture (JPEG)"),
        ("GIF8"u8.ToArray(), "a picture (GIF)"),
        ("II*\0"u8.ToArray(), "a picture (TIFF)"),
        ("MM\0*"u8.ToArray(), "a picture (TIFF)"),
        ([0x1F, 0x8B], "compressed (gzip); unpack it first"),
        ("BZh"u8.ToArray(), "compressed (bzip2); unpack it first"),
        ([0xFD, (byte)'7', (byte)'z', (byte)'X', (byte)'Z', 0], "compressed (xz); unpack it first"),
        ([0x28, 0xB5, 0x2F, 0xFD], "compressed (zstd); unpack it first"),
        ([(byte)'7', (byte)'z', 0xBC, 0xAF], "a 7z archive; unpack it first"),
        ("Rar!"u8.ToArray(), "a RAR archive; unpack it first"),
        ([0x7F, (byte)'E', (byte)'L', (byte)'F'], "a program (ELF)"),
        ("SQLite format 3\0"u8.ToArray(), "an SQLite database"),
    ];

    public static bool IsPdf(ReadOnlySpan<byte> head) => head[..Math.Min(head.Length, 1024)].IndexOf("%PDF-"u8) >= 0;

    public static bool IsZip(ReadOnlySpan<byte> head) => head.StartsWith("PK\x03\x04"u8) || head.StartsWith("PK\x05\x06"u8);

    /// <summary>What the file is, if it is a known format that is not read here.</summary>
    public static string? Other(ReadOnlySpan<byte> head)
    {
        foreach (var (mark, name) in Others)
        {
            if (head.StartsWith(mark)) return name;
        }

        return null;
    }

    /// <summary>Whether a text begins like a page of HTML.</summary>
    public static bool IsHtml(ReadOnlySpan<char> start)
    {
        start = start.TrimStart();
        return start.StartsWith("<!doctype html", StringComparison.OrdinalIgnoreCase) || start.StartsWith("<html", StringComparison.OrdinalIgnoreCase);
    }
}
