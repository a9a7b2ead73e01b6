using System.Text;

namespace Proxy.Config;

/// <summary>
/// Reads text that must be UTF-8 (or UTF-16 with a byte order mark, as some editors save it) and reports the first line that is not. A lenient decoder would
/// replace wrong bytes and so silently change a key or a name.
/// </summary>
internal static class TextFile
{
    private static readonly UTF8Encoding Strict = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    /// <summary>Throws <see cref="IOException"/> (of which <see cref="NotUtf8Exception"/> is one) or <see cref="UnauthorizedAccessException"/>.</summary>
    public static string Read(string path)
    {
        var bytes = File.ReadAllBytes(path);
        try
        {
            using var reader = new StreamReader(new MemoryStream(bytes), Strict, detectEncodingFromByteOrderMarks: true);
            return reader.ReadToEnd();
        }
        catch (DecoderFallbackException)
        {
            throw NotUtf8(bytes);
        }
    }

    private static NotUtf8Exception NotUtf8(ReadOnlySpan<byte> bytes)
    {
        var line = 1;
        for (var rest = bytes; !rest.IsEmpty;)
        {
            if (Rune.DecodeFromUtf8(rest, out var rune, out var length) is not System.Buffers.OperationStatus.Done) return new(line, rest[0]);
            if (rune.Value == '\n') line++;
            rest = rest[length..];
        }

        return new(line, 0);
    }
}

/// <summary>The file contains a byte that is not valid UTF-8 at its place.</summary>
internal sealed class NotUtf8Exception(int line, byte wrong) : IOException($"is not UTF-8 (byte 0x{wrong:X2} on line {line}); save it in that encoding")
{
    public int Line => line;
}
