using System.Buffers;
using System.Buffers.Text;
using System.Text;
using System.Text.Json;
using System.Text.Unicode;

namespace Proxy.Dialects;

/// <summary>
/// Reads a text that arrives in pieces over many frames. A host that streams tokens may cut a piece inside a character, either inside its UTF-8 bytes or inside
/// a <c>\uD83D\uDE00</c> pair: the first half is kept until the rest arrives. A half that is never completed becomes U+FFFD. A mutable struct: store it in a
/// field.
/// </summary>
internal struct TextPieces
{
    private byte[]? cut;
    private int cutLength;
    private char high;

    /// <summary>The text of the string at the position of <paramref name="json"/>. Empty if it completes no character.</summary>
    public string Take(ref Utf8JsonReader json)
    {
        var bytes = json.ValueSpan;
        if (cutLength == 0 && high == '\0' && (!json.ValueIsEscaped || bytes.IndexOf("\\u"u8) < 0) && Utf8.IsValid(bytes)) return json.GetString()!;
        return TakeBySteps(bytes);
    }

    /// <summary>Called at the end of the text. Returns U+FFFD if the text ended inside a character.</summary>
    public string Flush()
    {
        var whole = cutLength == 0 && high == '\0';
        cutLength = 0;
        high = '\0';
        return whole ? "" : "\uFFFD";
    }

    private string TakeBySteps(ReadOnlySpan<byte> bytes)
    {
        if (cutLength > 0)
        {
            byte[] joined = [.. cut.AsSpan(0, cutLength), .. bytes];
            cutLength = 0;
            bytes = joined;
        }

        var text = new StringBuilder(bytes.Length);
        Span<char> units = stackalloc char[2];
        while (!bytes.IsEmpty)
        {
            if (bytes[0] == '\\')
            {
                bytes = bytes[TakeEscape(bytes, text)..];
                continue;
            }

            var status = Rune.DecodeFromUtf8(bytes, out var rune, out var taken);
            if (status is OperationStatus.NeedMoreData)
            {
                cut ??= new byte[4];
                bytes.CopyTo(cut);
                cutLength = bytes.Length;
                break;
            }

            GiveUpHigh(text);
            text.Append(units[..rune.EncodeToUtf16(units)]);
            bytes = bytes[taken..];
        }

        return text.ToString();
    }

    // The JSON reader has already validated the escape.
    private int TakeEscape(ReadOnlySpan<byte> bytes, StringBuilder text)
    {
        if (bytes[1] != 'u')
        {
            GiveUpHigh(text);
            text.Append((char)bytes[1] switch { 'n' => '\n', 't' => '\t', 'r' => '\r', 'b' => '\b', 'f' => '\f', var same => same });
            return 2;
        }

        _ = Utf8Parser.TryParse(bytes.Slice(2, 4), out ushort value, out _, 'x');
        var unit = (char)value;
        if (high != '\0' && char.IsLowSurrogate(unit))
        {
            text.Append(high).Append(unit);
            high = '\0';
            return 6;
        }

        GiveUpHigh(text);
        if (char.IsHighSurrogate(unit)) high = unit;
        else text.Append(char.IsLowSurrogate(unit) ? '\uFFFD' : unit);
        return 6;
    }

    private void GiveUpHigh(StringBuilder text)
    {
        if (high != '\0') text.Append('\uFFFD');
        high = '\0';
    }
}
