using System.Collections.Concurrent;

namespace Proxy.Knowledge.Analysis;

/// <summary>The terms of words that were seen before, so that a word is stemmed and allocated once. Thread-safe; bounded.</summary>
internal sealed class TermPool
{
    /// <summary>About 10 MB.</summary>
    private const int Most = 100_000;

    private readonly ConcurrentDictionary<string, string> terms = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, string>.AlternateLookup<ReadOnlySpan<char>> lookup;
    private int count;

    public TermPool() => lookup = terms.GetAlternateLookup<ReadOnlySpan<char>>();

    /// <summary>The term of a lower-case word without connectors: its stem if it is English; empty for a stop word.</summary>
    public string OfWord(ReadOnlySpan<char> word)
    {
        if (lookup.TryGetValue(word, out var known)) return known;
        var term = StopWords.Contains(word) ? "" : Stem(word);
        if (Volatile.Read(ref count) < Most && lookup.TryAdd(word, term)) Interlocked.Increment(ref count);
        return term;
    }

    /// <summary>The characters themselves as a term. Not for words: their stems are kept under the same characters.</summary>
    public string Same(ReadOnlySpan<char> characters)
    {
        if (lookup.TryGetValue(characters, out var known)) return known;
        var term = characters.ToString();
        if (Volatile.Read(ref count) < Most && terms.TryAdd(term, term)) Interlocked.Increment(ref count);
        return term;
    }

    private static string Stem(ReadOnlySpan<char> word)
    {
        if (word.ContainsAnyExceptInRange('a', 'z')) return word.ToString();
        Span<char> buffer = stackalloc char[TextAnalyzer.LongestTerm + 1];
        word.CopyTo(buffer);
        return buffer[..Porter2.Stem(buffer, word.Length)].ToString();
    }
}
