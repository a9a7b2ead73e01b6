using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Unicode;

namespace Proxy.Dialects;

/// <summary>
/// Escapes only what JSON requires: é and emoji stay UTF-8, as model hosts write them. (The framework's most relaxed encoder still escapes everything outside
/// the Basic Multilingual Plane.) A lone surrogate becomes U+FFFD.
/// </summary>
internal sealed unsafe class RawTextEncoder : JavaScriptEncoder
{
    public static readonly RawTextEncoder Instance = new();

    private const string MustEscape =
        "\u0000\u0001\u0002\u0003\u0004\u0005\u0006\u0007\b\t\n\u000b\f\r\u000e\u000f\u0010\u0011\u0012\u0013"
        + "\u0014\u0015\u0016\u0017\u0018\u0019\u001a\u001b\u001c\u001d\u001e\u001f\"\\";

    private static readonly SearchValues<char> Escaped = SearchValues.Create(MustEscape);
    private static readonly SearchValues<byte> EscapedBytes = SearchValues.Create([.. MustEscape.Select(c => (byte)c)]);

    private RawTextEncoder() { }

    public override int MaxOutputCharactersPerInputCharacter => 6;

    public override bool WillEncode(int unicodeScalar) => unicodeScalar is < 0x20 or '"' or '\\';

    public override int FindFirstCharacterToEncode(char* text, int textLength)
    {
        var all = new ReadOnlySpan<char>(text, textLength);
        var escaped = all.IndexOfAny(Escaped);
        var plain = escaped < 0 ? all : all[..escaped];
        var at = plain.IndexOfAnyInRange('\ud800', '\udfff');
        if (at < 0) return escaped;

        for (; at < plain.Length; at++)
        {
            if (!char.IsSurrogate(plain[at])) continue;
            if (at + 1 == plain.Length || !char.IsSurrogatePair(plain[at], plain[at + 1])) return at;
            at++;
        }

        return escaped;
    }

    public override int FindFirstCharacterToEncodeUtf8(ReadOnlySpan<byte> utf8Text) =>
        Utf8.IsValid(utf8Text) ? utf8Text.IndexOfAny(EscapedBytes) : base.FindFirstCharacterToEncodeUtf8(utf8Text);

    public override bool TryEncodeUnicodeScalar(int unicodeScalar, char* buffer, int bufferLength, out int numberOfCharactersWritten)
    {
        var shortForm = unicodeScalar switch
        {
            '"' => '"',
            '\\' => '\\',
            '\n' => 'n',
            '\r' => 'r',
            '\t' => 't',
            '\b' => 'b',
            '\f' => 'f',
            _ => '\0',
        };
        var target = new Span<char>(buffer, bufferLength);
        numberOfCharactersWritten = 0;
        if (shortForm != '\0')
        {
            if (bufferLength < 2) return false;
            target[0] = '\\';
            target[1] = shortForm;
            numberOfCharactersWritten = 2;
            return true;
        }

        if (unicodeScalar < 0x20)
        {
            if (bufferLength < 6) return false;
            target[0] = '\\';
            target[1] = 'u';
            target[2] = target[3] = '0';
            target[4] = unicodeScalar < 0x10 ? '0' : '1';
            target[5] = "0123456789abcdef"[unicodeScalar & 0xF];
            numberOfCharactersWritten = 6;
            return true;
        }

        return new System.Text.Rune(unicodeScalar).TryEncodeToUtf16(target, out numberOfCharactersWritten);
    }
}
