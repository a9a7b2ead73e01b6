using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;

namespace Proxy.Telemetry;

/// <summary>
/// Escapes the same characters as the most relaxed encoder, and the Unicode format controls: a U+202E in a client's text reverses the text after it on a
/// terminal, others make text invisible. Used only for text that is not ASCII, because it looks at each character.
/// </summary>
internal sealed unsafe class LogTextEncoder : JavaScriptEncoder
{
    public static readonly LogTextEncoder Instance = new();

    private LogTextEncoder()
    {
    }

    public override int MaxOutputCharactersPerInputCharacter => UnsafeRelaxedJsonEscaping.MaxOutputCharactersPerInputCharacter;

    public override bool WillEncode(int unicodeScalar) =>
        UnsafeRelaxedJsonEscaping.WillEncode(unicodeScalar) || Rune.GetUnicodeCategory(new(unicodeScalar)) is UnicodeCategory.Format;

    public override int FindFirstCharacterToEncode(char* text, int textLength)
    {
        var all = new ReadOnlySpan<char>(text, textLength);
        var at = 0;
        while (at < all.Length)
        {
            if (Rune.DecodeFromUtf16(all[at..], out var rune, out var length) is not System.Buffers.OperationStatus.Done || WillEncode(rune.Value)) return at;
            at += length;
        }

        return -1;
    }

    public override bool TryEncodeUnicodeScalar(int unicodeScalar, char* buffer, int bufferLength, out int numberOfCharactersWritten)
    {
        if (!WillEncode(unicodeScalar)) return new Rune(unicodeScalar).TryEncodeToUtf16(new Span<char>(buffer, bufferLength), out numberOfCharactersWritten);
        if (UnsafeRelaxedJsonEscaping.TryEncodeUnicodeScalar(unicodeScalar, buffer, bufferLength, out numberOfCharactersWritten) && buffer[0] == '\\')
        {
            return true;
        }

        Span<char> units = stackalloc char[2];
        var count = new Rune(unicodeScalar).EncodeToUtf16(units);
        numberOfCharactersWritten = 0;
        if (bufferLength < count * 6) return false;
        for (var i = 0; i < count; i++)
        {
            var target = new Span<char>(buffer + (i * 6), 6);
            target[0] = '\\';
            target[1] = 'u';
            ((int)units[i]).TryFormat(target[2..], out _, "x4", CultureInfo.InvariantCulture);
        }

        numberOfCharactersWritten = count * 6;
        return true;
    }
}
