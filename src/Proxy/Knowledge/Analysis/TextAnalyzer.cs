using System.Buffers;
using System.Text;

namespace Proxy.Knowledge.Analysis;

/// <summary>
/// The analyser of the product. Words of letters and digits are lower-cased; English stop words are left out and words of ASCII letters stemmed. A word with
/// diacritics is a term as it is, and without them as another word. An identifier is a term as a whole, and so are its parts. Scripts without spaces become
/// overlapping pairs of characters. No term is longer than <see cref="LongestTerm"/>. The words of plain ASCII text are those of the retrieval recipe: runs of
/// letters and digits; whole identifiers with connectors, and the parts of words with capitals or digits inside, stand beside them.
/// </summary>
internal sealed class TextAnalyzer : ITextAnalyzer
{
    public const int LongestTerm = 64;

    /// <summary>Identifiers longer than this, such as encoded data, are terms in parts only.</summary>
    private const int LongestIdentifier = 256;

    private static readonly SearchValues<char> Numeric = SearchValues.Create("0123456789.:,-/+%");
    private static readonly SearchValues<char> CodeConnectors = SearchValues.Create("_\\:@+~#%$");

    private readonly TermPool pool = new();

    public int Version => 2;

    public List<string> Terms(string text)
    {
        var terms = new TermList((text.Length / 8) + 4);
        Read(text, terms);
        return terms.Terms;
    }

    public TermCounts Count(string text)
    {
        var counts = new TermCounts();
        Read(text, counts);
        return counts;
    }

    public IReadOnlyList<QueryTerm> QueryTerms(string query)
    {
        var terms = new QueryTermList();
        Read(query, terms);
        return terms.Distinct();
    }

    private void Read(string text, TermList terms)
    {
        text = Folding.Compatible(text);
        for (var at = 0; at < text.Length;)
        {
            switch (Characters.KindAt(text, at, out var length))
            {
                case CharacterKind.Word:
                    at = Read(text, at, terms);
                    break;
                case CharacterKind.Unspaced:
                    at = ReadUnspaced(text, at, terms);
                    break;
                default:
                    at += length;
                    break;
            }
        }
    }

    /// <summary>Reads a word or identifier; returns its end.</summary>
    private int Read(ReadOnlySpan<char> text, int start, TermList terms)
    {
        var (end, isJoined) = (start, false);
        while (end < text.Length)
        {
            var kind = Characters.KindAt(text, end, out var length);
            if (kind == CharacterKind.Word)
            {
                isJoined |= text[end] == '_';
                end += length;
            }
            else if (kind == CharacterKind.Connector && Joins(text, end) is > 0 and var connectors)
            {
                isJoined = true;
                end += connectors;
            }
            else
            {
                break;
            }
        }

        if (isJoined) AddIdentifier(text[start..end], 0, terms);
        else AddWord(text[start..end], terms);
        return SkipContraction(text, end);
    }

    /// <summary>How many connectors stand there between two parts of an identifier: one, or two colons; 0: they do not join.</summary>
    private static int Joins(ReadOnlySpan<char> text, int at)
    {
        var length = text[at] == ':' && at + 1 < text.Length && text[at + 1] == ':' ? 2 : 1;
        return at + length < text.Length && Characters.KindAt(text, at + length, out _) == CharacterKind.Word ? length : 0;
    }

    /// <summary>The end of an <c>'s</c>, <c>'t</c>, <c>'ll</c> and the like behind a word; they are no terms.</summary>
    private static int SkipContraction(ReadOnlySpan<char> text, int at)
    {
        if (at >= text.Length || text[at] != '\'') return at;
        var end = at + 1;
        while (end < text.Length && end - at <= 3 && char.IsAsciiLetter(text[end])) end++;
        if (end < text.Length && Characters.KindAt(text, end, out _) is CharacterKind.Word) return at;
        return text[(at + 1)..end] is "s" or "t" or "d" or "m" or "ll" or "re" or "ve" or "S" or "T" or "D" or "M" or "LL" or "RE" or "VE" ? end : at;
    }

    /// <summary>Adds an identifier, then its parts: those of paths, then those of dotted names, then those of compound words.</summary>
    private void AddIdentifier(ReadOnlySpan<char> run, int level, TermList terms)
    {
        for (; level < Characters.Connectors.Length; level++)
        {
            var connectors = Characters.Connectors[level];
            if (run.IndexOfAny(connectors) < 0) continue;
            var isWhole = run.Length <= LongestIdentifier && run.IndexOfAnyExcept('_', '-') >= 0;
            if (isWhole) terms.Begin(AddWhole(run, terms), IsCode(run));
            foreach (var part in run.SplitAny(connectors))
            {
                if (!run[part].IsEmpty) AddIdentifier(run[part], level + 1, terms);
            }

            if (isWhole) terms.End();
            return;
        }

        AddWord(run, terms);
    }

    private string AddWhole(ReadOnlySpan<char> run, TermList terms)
    {
        Span<char> lower = stackalloc char[LongestIdentifier];
        lower = lower[..run.ToLowerInvariant(lower)];
        var term = lower.Length > LongestTerm ? Shortened(lower) : pool.Same(lower);
        terms.AddBeside(term);
        return term;
    }

    /// <summary>
    /// Whether an identifier is more than words and numbers of a text: such are joined by hyphens or slashes (well-known, and/or, 60-degree), abbreviations
    /// (e.g, u.s.a) and numbers of two parts (2.5, 12:30).
    /// </summary>
    private static bool IsCode(ReadOnlySpan<char> run)
    {
        if (!run.ContainsAnyExcept(Numeric)) return run.Count('.') + run.Count(':') > 1;
        return run.ContainsAny(CodeConnectors) || (run.Contains('.') && HasLongPart(run));
    }

    /// <summary>Whether a dot stands beside a part with a letter and another character, as in foo.bar.</summary>
    private static bool HasLongPart(ReadOnlySpan<char> run)
    {
        foreach (var part in run.Split('.'))
        {
            if (run[part].Length > 1 && run[part].ContainsAnyExcept(Numeric)) return true;
        }

        return false;
    }

    /// <summary>Adds a word without connectors, and its parts if its case or digits show them.</summary>
    private void AddWord(ReadOnlySpan<char> word, TermList terms)
    {
        if (word.Length > LongestTerm)
        {
            var rented = ArrayPool<char>.Shared.Rent(word.Length);
            terms.Add(Shortened(rented.AsSpan(0, word.ToLowerInvariant(rented))));
            ArrayPool<char>.Shared.Return(rented);
            return;
        }

        Span<char> lower = stackalloc char[LongestTerm];
        lower = lower[..word.ToLowerInvariant(lower)];
        if (!Ascii.IsValid(lower))
        {
            AddForeign(lower, terms);
            return;
        }

        var term = pool.OfWord(lower);
        if (term.Length == 0) return;
        terms.Add(term);
        AddHumps(word, lower, term, terms);
    }

    /// <summary>Adds a word that is not ASCII as it is, and without its diacritics.</summary>
    private void AddForeign(ReadOnlySpan<char> lower, TermList terms)
    {
        terms.Add(pool.Same(lower));
        Span<char> plain = stackalloc char[2 * LongestTerm];
        var length = Folding.Plain(lower, plain);
        if (length is > 0 and <= LongestTerm && pool.OfWord(plain[..length]) is { Length: > 0 } term) terms.AddBeside(term);
    }

    /// <summary>
    /// Adds the parts of <c>camelCase</c>, <c>HTTPServer2</c> or <c>E1234</c>, without single characters. Random characters, such as hashes, have too many
    /// parts and are not cut.
    /// </summary>
    private void AddHumps(ReadOnlySpan<char> word, ReadOnlySpan<char> lower, string whole, TermList terms)
    {
        if (word.Length < 3) return;
        var count = 0;
        Span<int> ends = stackalloc int[LongestTerm];
        for (var i = 1; i < word.Length; i++)
        {
            if (IsHump(word, i)) ends[count++] = i;
        }

        if (count == 0 || 3 * (count + 1) > word.Length + 4) return;
        ends[count++] = word.Length;
        var start = 0;
        terms.Begin(whole, isCode: true);
        foreach (var end in ends[..count])
        {
            if (end - start > 1 && pool.OfWord(lower[start..end]) is { Length: > 0 } term) terms.AddBeside(term);
            start = end;
        }

        terms.End();
    }

    /// <summary>Whether a part begins there: between letters and digits, before a capital after a small letter, before the last capital of several.</summary>
    private static bool IsHump(ReadOnlySpan<char> word, int at)
    {
        var (before, here) = (word[at - 1], word[at]);
        if (char.IsAsciiDigit(before) != char.IsAsciiDigit(here)) return true;
        if (!char.IsUpper(here)) return false;
        if (char.IsLower(before)) return true;
        // HTTPServer has a part before the S, but URLs has none before the L.
        return char.IsUpper(before) && at + 1 < word.Length && char.IsLower(word[at + 1]) && (at + 2 < word.Length || word[at + 1] != 's');
    }

    /// <summary>Reads characters of a script without spaces; returns their end.</summary>
    private int ReadUnspaced(ReadOnlySpan<char> text, int start, TermList terms)
    {
        var (before, at, isAlone) = (-1, start, true);
        while (at < text.Length && Characters.KindAt(text, at, out var length) == CharacterKind.Unspaced)
        {
            if (before >= 0)
            {
                terms.Add(pool.Same(text[before..(at + length)]));
                isAlone = false;
            }

            before = at;
            at += length;
        }

        if (isAlone) terms.Add(pool.Same(text[start..at]));
        return at;
    }

    /// <summary>A term for more characters than a term has: the first ones and a hash of all (FNV-1a, 64 bits).</summary>
    private static string Shortened(ReadOnlySpan<char> lower)
    {
        var hash = 14695981039346656037UL;
        foreach (var c in lower) hash = (hash ^ c) * 1099511628211UL;
        return $"{lower[..47]}…{hash:x16}";
    }
}
