using System.Globalization;
using System.Text;

namespace Proxy.Knowledge.Analysis;

/// <summary>What a character does in a text, to the analyser.</summary>
internal enum CharacterKind : byte
{
    /// <summary>Separates words: white space, punctuation, symbols.</summary>
    Other,

    /// <summary>A part of a word: letters, marks, digits and the underscore.</summary>
    Word,

    /// <summary>A letter of a script that puts no spaces between words.</summary>
    Unspaced,

    /// <summary>Joins words to an identifier where it stands between them, as in <c>kebab-case</c>, <c>10.0.0.1</c> and <c>src/main.c</c>.</summary>
    Connector,

    /// <summary>An apostrophe.</summary>
    Apostrophe,
}

/// <summary>The classes of characters.</summary>
internal static class Characters
{
    /// <summary>Connectors, those that bind least first: of paths and names, of dots, of words.</summary>
    public static readonly string[] Connectors = ["/\\:@+~#%$", ".", "-_"];

    private static readonly CharacterKind[] Ascii = MakeAscii();

    /// <param name="text">The text.</param>
    /// <param name="at">Where the character begins.</param>
    /// <param name="length">Its UTF-16 units: 1 or 2.</param>
    public static CharacterKind KindAt(ReadOnlySpan<char> text, int at, out int length)
    {
        length = 1;
        var c = text[at];
        if (c < 128) return Ascii[c];
        if (!char.IsSurrogate(c)) return KindOf(c, CharUnicodeInfo.GetUnicodeCategory(c));
        if (Rune.DecodeFromUtf16(text[at..], out var rune, out length) != System.Buffers.OperationStatus.Done) return CharacterKind.Other;
        return KindOf(rune.Value, Rune.GetUnicodeCategory(rune));
    }

    private static CharacterKind KindOf(int code, UnicodeCategory category) => category switch
    {
        <= UnicodeCategory.OtherLetter or (>= UnicodeCategory.NonSpacingMark and <= UnicodeCategory.LetterNumber) =>
            IsUnspaced(code) ? CharacterKind.Unspaced : CharacterKind.Word,
        _ => CharacterKind.Other,
    };

    /// <summary>Thai, Lao, Myanmar, Khmer, Hiragana, Katakana and Han.</summary>
    private static bool IsUnspaced(int code) => code >= 0x0E00 && code is <= 0x0EFF or (>= 0x1000 and <= 0x109F) or (>= 0x1780 and <= 0x17FF)
        or (>= 0x19E0 and <= 0x19FF) or (>= 0x3005 and <= 0x3007) or (>= 0x3021 and <= 0x3029) or (>= 0x3041 and <= 0x30FF) or (>= 0x31F0 and <= 0x31FF)
        or (>= 0x3400 and <= 0x4DBF) or (>= 0x4E00 and <= 0x9FFF) or (>= 0xA9E0 and <= 0xA9FF) or (>= 0xAA60 and <= 0xAA7F) or (>= 0xF900 and <= 0xFAFF)
        or (>= 0x1B000 and <= 0x1B16F) or (>= 0x20000 and <= 0x3FFFF);

    private static CharacterKind[] MakeAscii()
    {
        var kinds = new CharacterKind[128];
        for (var c = 0; c < 128; c++)
        {
            if (char.IsAsciiLetterOrDigit((char)c)) kinds[c] = CharacterKind.Word;
        }

        foreach (var c in string.Concat(Connectors)) kinds[c] = CharacterKind.Connector;
        kinds['_'] = CharacterKind.Word;
        kinds['\''] = CharacterKind.Apostrophe;
        return kinds;
    }
}
