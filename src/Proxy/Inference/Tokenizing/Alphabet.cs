using System.Collections.Frozen;
using System.Text;

namespace Proxy.Inference.Tokenizing;

/// <summary>GPT-2's printable letter for every byte: the byte itself if it is printable Latin-1, else a letter from U+0100 on.</summary>
internal static class Alphabet
{
    /// <summary>The letter for a space.</summary>
    public const char Space = '\u0120';

    private static readonly char[] Letters = Make();
    private static readonly FrozenDictionary<char, byte> Bytes = Enumerable.Range(0, 256).ToFrozenDictionary(value => Letters[value], value => (byte)value);

    /// <summary>Appends the letters of the code point's UTF-8 bytes; the origin of each is the whole code point.</summary>
    public static void Append(TextBuffer output, int codePoint, int from, int to)
    {
        if (codePoint < 128)
        {
            output.Append(Letters[codePoint], from, to);
            return;
        }

        Span<byte> utf8 = stackalloc byte[4];
        foreach (var value in utf8[..new Rune(codePoint).EncodeToUtf8(utf8)]) output.Append(Letters[value], from, to);
    }

    /// <summary>The byte that a letter stands for.</summary>
    public static bool TryByte(char letter, out byte value) => Bytes.TryGetValue(letter, out value);

    private static char[] Make()
    {
        var letters = new char[256];
        var next = '\u0100';
        for (var value = 0; value < 256; value++) letters[value] = value is >= '!' and <= '~' or >= 0xA1 and <= 0xAC or >= 0xAE ? (char)value : next++;
        return letters;
    }
}
