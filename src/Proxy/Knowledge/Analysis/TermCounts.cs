namespace Proxy.Knowledge.Analysis;

/// <summary>Counts the terms of a text.</summary>
internal sealed class TermCounts() : TermList(0)
{
    private readonly Dictionary<string, int> beside = [];

    /// <summary>The words, without the terms beside them.</summary>
    public Dictionary<string, int> Words { get; } = [];

    /// <summary>The number of words.</summary>
    public int Length { get; private set; }

    public override void Add(string term)
    {
        Length++;
        Count(Words, term, 1);
    }

    public override void AddBeside(string term) => Count(beside, term, 1);

    /// <summary>Adds another text's.</summary>
    public void Add(TermCounts other)
    {
        Length += other.Length;
        foreach (var (term, count) in other.Words) Count(Words, term, count);
        foreach (var (term, count) in other.beside) Count(beside, term, count);
    }

    /// <summary>The words and the terms beside them.</summary>
    public Dictionary<string, int> All()
    {
        if (beside.Count == 0) return Words;
        var all = new Dictionary<string, int>(Words);
        foreach (var (term, count) in beside) Count(all, term, count);
        return all;
    }

    private static void Count(Dictionary<string, int> counts, string term, int count) =>
        System.Runtime.InteropServices.CollectionsMarshal.GetValueRefOrAddDefault(counts, term, out _) += count;
}
