using System.Buffers;
using System.Globalization;
using System.Text;

namespace Proxy.Knowledge.Analysis;

/// <summary>
/// Other spellings of the same characters. The runtime's normal forms are not used: they need ICU. Folded are the forms that documents really contain: full
/// and half width, ligatures of typeset text, small digits, invisible characters, the dashes and apostrophes of word processors, diacritics.
/// </summary>
internal static class Folding
{
    /// <summary>The base letters of U+00C0 to U+024F, and of U+1E00 to U+1EFF; a dot where there is none.</summary>
    private const string Latin = "aaaaaa.ceeeeiiiidnooooo.ouuuuy..aaaaaa.ceeeeiiiidnooooo.ouuuuy.yaaaaaaccccccccddddeeeeeeeeeegggggggg"
        + "hhhhiiiiiiiiii..jjkkkllllllllllnnnnnn.nnoooooo..rrrrrrssssssssttttttuuuuuuuuuuuuwwyyyzzzzzzsb......."
        + "...............i........oo.............uu....zz......................aaiioouuuuuuuuuu.aaaa..ggggkkoo"
        + "oo..j...gg..nnaa....aaaaeeeeiiiioooorrrruuuusstt..hh....zzaaeeooooooooyy...............b..ee........";
    private const string LatinAdditional =
        "aabbbbbbccddddddddddeeeeeeeeeeffgghhhhhhhhhhiiiikkkkkkllllllllmmmmmmnnnnnnnnoooooooopppprrrrrrrrssss"
        + "ssssssttttttttuuuuuuuuuuvvvvwwwwwwwwwwxxxxyyzzzzzzhtwy......aaaaaaaaaaaaaaaaaaaaaaaaeeeeeeeeeeeeeeee"
        + "iiiioooooooooooooooooooooooouuuuuuuuuuuuuuyyyyyyyy......";

    /// <summary>U+FF61 to U+FF9F in full width.</summary>
    private const string HalfWidth = "。「」、・ヲァィゥェォャュョッーアイウエオカキクケコサシスセソ"
        + "タチツテトナニヌネノハヒフヘホマミムメモヤユヨラリルレロワン\u3099\u309A";

    private static readonly SearchValues<char> Rare = SearchValues.Create(
        "\u00AD\u00B2\u00B3\u00B5\u00B9\u03C2\u200B\u200C\u200D\u2060\uFEFF\u2010\u2011\u2018\u2019\u02BC\u3000\u3099\u309A"
        + Range(0x2070, 0x2089) + Range(0xFB00, 0xFB06) + Range(0xFF01, 0xFF9F));

    /// <summary>The text with every such character in its usual form, but with its diacritics. The text itself if it has none of them.</summary>
    public static string Compatible(string text)
    {
        var first = text.AsSpan().IndexOfAny(Rare);
        if (first < 0) return text;
        var folded = new StringBuilder(text.Length).Append(text, 0, first);
        foreach (var c in text.AsSpan(first))
        {
            if (c is '\u3099' or '\u309A') Voice(folded, c);
            else if (c is >= '\uFF9E' and <= '\uFF9F') Voice(folded, HalfWidth[c - 0xFF61]);
            else if (c < 0x80 || !Rare.Contains(c)) folded.Append(c);
            else folded.Append(Usual(c));
        }

        return folded.ToString();
    }

    /// <summary>
    /// Writes a lower-case word without its diacritics and vowel points into a buffer twice its length. Returns the length, or -1 if it has none of them.
    /// </summary>
    public static int Plain(ReadOnlySpan<char> word, Span<char> into)
    {
        var (length, differs) = (0, false);
        foreach (var c in word)
        {
            var (first, second) = c < 0x80 ? (c, '\0') : PlainOf(c);
            differs |= first != c;
            if (first != '\0') into[length++] = first;
            if (second != '\0') into[length++] = second;
        }

        return differs ? length : -1;
    }

    /// <summary>One or two characters; none for a mark that is left out.</summary>
    private static (char First, char Second) PlainOf(char c) => c switch
    {
        'ß' => ('s', 's'),
        'æ' => ('a', 'e'),
        'œ' => ('o', 'e'),
        'þ' => ('t', 'h'),
        >= '\u00C0' and <= '\u024F' when Latin[c - 0xC0] is not '.' and var plain => (plain, '\0'),
        >= '\u1E00' and <= '\u1EFF' when LatinAdditional[c - 0x1E00] is not '.' and var plain => (plain, '\0'),
        // Combining diacritics; the points of Hebrew; the vowels of Arabic and its stretching.
        (>= '\u0300' and <= '\u036F') or (>= '\u0591' and <= '\u05C7') or (>= '\u064B' and <= '\u065F') or '\u0670' or '\u0640' => ('\0', '\0'),
        _ => (c, '\0'),
    };

    private static string Usual(char c) => c switch
    {
        '\u2010' or '\u2011' => "-",
        '\u2018' or '\u2019' or '\u02BC' => "'",
        '\u3000' => " ",
        'ς' => "σ",
        '\u00B5' => "μ",
        '\u00B9' => "1",
        '\u00B2' or '\u00B3' => c == '\u00B2' ? "2" : "3",
        >= '\u2070' and <= '\u2089' when CharUnicodeInfo.GetUnicodeCategory(c) == UnicodeCategory.OtherNumber => ((char)('0' + (c & 0xF))).ToString(),
        >= '\uFB00' and <= '\uFB06' => c switch { '\uFB00' => "ff", '\uFB01' => "fi", '\uFB02' => "fl", '\uFB03' => "ffi", '\uFB04' => "ffl", _ => "st" },
        >= '\uFF01' and <= '\uFF5E' => ((char)(c - 0xFF01 + 0x21)).ToString(),
        >= '\uFF61' and <= '\uFF9D' => HalfWidth[c - 0xFF61].ToString(),
        '\u00AD' or '\u200B' or '\u200C' or '\u200D' or '\u2060' or '\uFEFF' => "",
        _ => c.ToString(),
    };

    /// <summary>Joins a voicing mark with the kana before it, as in が and ぱ.</summary>
    private static void Voice(StringBuilder text, char mark)
    {
        if (text.Length == 0) return;
        var kana = text[^1];
        var katakana = kana is >= 'ァ' and <= 'ヺ';
        var hiragana = katakana ? (char)(kana - 0x60) : kana;
        if (mark == '\u309A' ? "はひふへほ".Contains(hiragana) : "かきくけこさしすせそたちつてとはひふへほ".Contains(hiragana))
            text[^1] = (char)(kana + (mark == '\u309A' ? 2 : 1));
        else if (hiragana == 'う' && mark == '\u3099') text[^1] = katakana ? 'ヴ' : 'ゔ';
    }

    private static string Range(int first, int last) => string.Concat(Enumerable.Range(first, last - first + 1).Select(static code => (char)code));
}
