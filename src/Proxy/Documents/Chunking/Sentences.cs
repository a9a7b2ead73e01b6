namespace Proxy.Documents.Chunking;

/// <summary>Finds the sentences of a paragraph.</summary>
internal static class Sentences
{
    /// <summary>Words before a full stop that does not end a sentence, in small letters and without the stop.</summary>
    private static readonly HashSet<string> Abbreviations = new(
        ("mr mrs ms dr prof sr jr st vs etc e.g i.e eg ie cf al fig figs eq eqs sec ch chap vol no nos pp p ed eds rev dept inc ltd co corp gov sen rep gen"
            + " col capt"
            + " lt sgt approx est min max jan feb mar apr jun jul aug sep sept oct nov dec mon tue wed thu fri sat sun u.s u.k a.m p.m resp incl excl ca z.b"
            + " d.h"
            + " u.a bzw usw vgl abs art nr str bspw ggf evtl m.e mme mlle av bd env n.b op viz ibid").Split(' '),
        StringComparer.Ordinal);

    private static readonly HashSet<string>.AlternateLookup<ReadOnlySpan<char>> AbbreviationSpans = Abbreviations.GetAlternateLookup<ReadOnlySpan<char>>();

    /// <summary>The sentences as ranges of the text, without the white space between them. Their concatenation is the text.</summary>
    public static List<(int From, int To)> Of(string text)
    {
        var sentences = new List<(int, int)>();
        var from = 0;
        for (var at = 0; at < text.Length; at++)
        {
            if (!Ends(text, from, ref at)) continue;
            Add(at);
            from = at;
            at--;
        }

        Add(text.Length);
        return sentences;

        void Add(int to)
        {
            var (start, end) = Trimmed(text, from, to);
            if (start < end) sentences.Add((start, end));
        }
    }

    /// <summary>A range without the white space at both ends.</summary>
    public static (int From, int To) Trimmed(string text, int from, int to)
    {
        while (from < to && char.IsWhiteSpace(text[from])) from++;
        while (to > from && char.IsWhiteSpace(text[to - 1])) to--;
        return (from, to);
    }

    /// <summary>
    /// Whether a sentence ends with the character at <paramref name="at"/>, which is then moved behind it and the quotes and brackets that follow.
    /// </summary>
    private static bool Ends(string text, int from, ref int at)
    {
        var c = text[at];
        if (c is '。' or '！' or '？' or '｡' or '．' or '।' or '။' or '።')
        {
            at = AfterClosers(text, at + 1);
            return true;
        }

        if (c == '\n')
        {
            if (!BeginsItem(text.AsSpan(at + 1))) return false;
            at++;
            return true;
        }

        if (c is not ('.' or '!' or '?' or '…' or '؟' or '۔')) return false;
        var end = at + 1;
        while (end < text.Length && text[end] is '.' or '!' or '?') end++;
        end = AfterClosers(text, end);
        if (end < text.Length && !char.IsWhiteSpace(text[end]))
        {
            at = end - 1; // no sentence ends within the run either
            return false;
        }

        var next = end;
        while (next < text.Length && char.IsWhiteSpace(text[next])) next++;
        if (next < text.Length && char.IsLower(text[next])) return false;
        if (c == '.' && IsAbbreviation(text.AsSpan(from, at - from))) return false;
        at = end;
        return true;
    }

    private static int AfterClosers(string text, int at)
    {
        while (at < text.Length && text[at] is '"' or '\'' or ')' or ']' or '”' or '’' or '»' or '」' or '』' or '）' or '】') at++;
        return at;
    }

    /// <summary>An abbreviation, an initial ("J. Smith") or the number of an item ("3. Text").</summary>
    private static bool IsAbbreviation(ReadOnlySpan<char> before)
    {
        var word = before[(before.LastIndexOfAny(' ', '\n', '\t') + 1)..].TrimStart("([\"'“‘");
        if (word.Length == 0 || word.Length > 12) return false;
        if (word.Length == 1 && char.IsUpper(word[0])) return true;
        if (word.IndexOfAnyExceptInRange('0', '9') < 0) return word.Length <= 2 && word.Length == before.Trim().Length;
        Span<char> small = stackalloc char[12];
        word.ToLowerInvariant(small);
        return AbbreviationSpans.Contains(small[..word.Length]);
    }

    private static bool BeginsItem(ReadOnlySpan<char> line)
    {
        line = line.TrimStart(' ');
        if (line.Length < 2) return false;
        if (line[0] is '-' or '*' or '•' or '–' or '·' or '‣' && line[1] is ' ' or '\t') return true;
        var digits = 0;
        while (digits < line.Length && digits < 4 && char.IsAsciiDigit(line[digits])) digits++;
        return digits > 0 && digits + 1 < line.Length && line[digits] is '.' or ')' && line[digits + 1] == ' ';
    }
}
