using System.Globalization;
using System.Text;

namespace Proxy.Inference.Tokenizing;

/// <summary>The tokens &lt;0x00&gt; to &lt;0xFF&gt; for the single bytes of chars that a vocabulary lacks.</summary>
internal sealed class ByteTokens(PieceTrie trie)
{
    private readonly int[] tokens = [.. Enumerable.Range(0, 256).Select(value => trie.TokenOf(string.Create(CultureInfo.InvariantCulture, $"<0x{value:X2}>")))];

    /// <summary>Writes the tokens of one code point's bytes and returns their number; 0 if one of the bytes has no token.</summary>
    public int Of(ReadOnlySpan<char> codePoint, Span<int> output)
    {
        Span<byte> utf8 = stackalloc byte[4];
        Rune.DecodeFromUtf16(codePoint, out var rune, out _);
        var length = rune.EncodeToUtf8(utf8);
        for (var i = 0; i < length; i++)
        {
            if ((output[i] = tokens[utf8[i]]) < 0) return 0;
        }

        return length;
    }

    public bool HasAll(ReadOnlySpan<char> text)
    {
        Span<byte> utf8 = stackalloc byte[4];
        foreach (var rune in text.EnumerateRunes())
        {
            foreach (var value in utf8[..rune.EncodeToUtf8(utf8)])
            {
                if (tokens[value] < 0) return false;
            }
        }

        return true;
    }
}
