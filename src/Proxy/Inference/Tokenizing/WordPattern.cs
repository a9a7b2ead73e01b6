using System.Globalization;

namespace Proxy.Inference.Tokenizing;

/// <summary>
/// The two expressions by which most byte-level models split, as code: GPT-2's, and the one of GPT-4, Llama 3 and Qwen. About ten times as fast as the
/// interpreted expression.
/// </summary>
internal sealed class WordPattern : SplitPattern
{
    private const string Gpt2 = @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
    private const string Newer = @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    private enum Kind : byte { Other, Letter, Number, Space }

    private static readonly Kind[] Plane = [.. Enumerable.Range(0, 0x10000).Select(Of)];

    private readonly bool newer;
    private readonly int longestNumber;

    private WordPattern(bool newer, int longestNumber) => (this.newer, this.longestNumber) = (newer, longestNumber);

    /// <summary>The expression of ByteLevel.</summary>
    public static WordPattern OfGpt2 { get; } = new(newer: false, int.MaxValue);

    /// <summary>The code for an expression; null if there is none for it.</summary>
    public static WordPattern? For(string expression) => expression switch
    {
        Gpt2 => OfGpt2,
        Newer => new(newer: true, 1),
        _ when expression == Newer.Replace(@"|\p{N}|", @"|\p{N}{1,3}|", StringComparison.Ordinal) => new(newer: true, 3),
        _ => null,
    };

    public override void Find(TextScratch scratch, int start, int end, ref PieceCutter cutter)
    {
        var text = scratch.Text.Chars[start..end];
        for (var at = 0; at < text.Length;)
        {
            var to = newer ? Next(text, at) : NextOfGpt2(text, at);
            cutter.Match(start + at, start + to);
            at = to;
        }
    }

    private static int NextOfGpt2(ReadOnlySpan<char> text, int at)
    {
        if (text[at] == '\'' && Contraction(text[(at + 1)..], anyCase: false) is var length and > 0) return at + 1 + length;
        var first = at + (text[at] == ' ' && at + 1 < text.Length ? 1 : 0);
        var kind = KindAt(text, first, out _);
        if (kind != Kind.Space) return Run(text, first, kind, int.MaxValue);
        return Spaces(text, at);
    }

    private int Next(ReadOnlySpan<char> text, int at)
    {
        if (text[at] == '\'' && Contraction(text[(at + 1)..], anyCase: true) is var length and > 0) return at + 1 + length;

        // [^\r\n\p{L}\p{N}]?\p{L}+
        var kind = KindAt(text, at, out var runeLength);
        var second = at + runeLength;
        if (kind == Kind.Letter) return Run(text, at, Kind.Letter, int.MaxValue);
        if (kind != Kind.Number && text[at] is not ('\r' or '\n') && second < text.Length && KindAt(text, second, out _) == Kind.Letter)
        {
            return Run(text, second, Kind.Letter, int.MaxValue);
        }

        if (kind == Kind.Number) return Run(text, at, Kind.Number, longestNumber);

        // ' ?[^\s\p{L}\p{N}]+[\r\n]*'
        var sign = at + (text[at] == ' ' && second < text.Length ? 1 : 0);
        if (KindAt(text, sign, out _) == Kind.Other)
        {
            var to = Run(text, sign, Kind.Other, int.MaxValue);
            while (to < text.Length && text[to] is '\r' or '\n') to++;
            return to;
        }

        // '\s*[\r\n]+': up to the last line break of the run
        var end = Run(text, at, Kind.Space, int.MaxValue);
        var lineBreak = text[at..end].LastIndexOfAny('\r', '\n');
        return lineBreak >= 0 ? at + lineBreak + 1 : Spaces(text, at);
    }

    /// <summary>
    /// '\s+(?!\S)|\s+': the whole run; if a word follows and the run has more than one char, the run without its last char. White space is never a surrogate
    /// pair.
    /// </summary>
    private static int Spaces(ReadOnlySpan<char> text, int at)
    {
        var end = Run(text, at, Kind.Space, int.MaxValue);
        return end < text.Length && end - at > 1 ? end - 1 : end;
    }

    private static int Run(ReadOnlySpan<char> text, int at, Kind kind, int longest)
    {
        for (var count = 0; at < text.Length && count < longest && KindAt(text, at, out var length) == kind; count++) at += length;
        return at;
    }

    private static int Contraction(ReadOnlySpan<char> after, bool anyCase)
    {
        if (after.IsEmpty) return 0;
        var (first, second) = (after[0], after.Length > 1 ? after[1] : '\0');
        if (anyCase)
        {
            if (first == '\u017F') return 1; // the long s is a case variant of s
            (first, second) = ((char)(first | ' '), (char)(second | ' '));
        }

        return (first, second) switch
        {
            ('s' or 't' or 'm' or 'd', _) => 1,
            ('r' or 'v', 'e') or ('l', 'l') => 2,
            _ => 0,
        };
    }

    private static Kind KindAt(ReadOnlySpan<char> text, int at, out int length)
    {
        var c = text[at];
        if (!char.IsHighSurrogate(c) || at + 1 == text.Length)
        {
            length = 1;
            return Plane[c];
        }

        length = 2;
        return Of(char.ConvertToUtf32(c, text[at + 1]));
    }

    private static Kind Of(int codePoint) => CharUnicodeInfo.GetUnicodeCategory(codePoint) switch
    {
        <= UnicodeCategory.OtherLetter => Kind.Letter,
        UnicodeCategory.DecimalDigitNumber or UnicodeCategory.LetterNumber or UnicodeCategory.OtherNumber => Kind.Number,
        _ => UnicodeData.IsWhiteSpace(codePoint) ? Kind.Space : Kind.Other,
    };
}
