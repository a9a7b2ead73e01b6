namespace Proxy.Knowledge.Search;

/// <summary>
/// Finds passages that say the same: at least 9 of 10 runs of three words are common to both, and the numbers, identifiers and negations are the same. A
/// passage with another number says something else, however equal the rest is.
/// </summary>
internal sealed class NearDuplicates
{
    private const double Same = 0.9;

    private static readonly HashSet<string> Negations = ["no", "not", "never", "none", "nor", "cannot", "without", "neither", "t"];

    private readonly List<(HashSet<int> Runs, List<string> Facts)> seen = [];

    /// <summary>Whether the text says something that no text before did; if so it counts from now on.</summary>
    public bool IsNew(string text)
    {
        var (runs, facts) = (new HashSet<int>(), new List<string>());
        var (first, second) = ("", "");
        foreach (var range in text.AsSpan().SplitAny(" \t\r\n.,;:!?()[]{}\"'’"))
        {
            if (text.AsSpan(range).IsEmpty) continue;
            var word = text[range].ToLowerInvariant();
            runs.Add(HashCode.Combine(first, second, word));
            (first, second) = (second, word);
            if (Negations.Contains(word) || word.AsSpan().ContainsAnyInRange('0', '9') || word.Contains('_', StringComparison.Ordinal)) facts.Add(word);
        }

        facts.Sort(StringComparer.Ordinal);
        if (seen.Exists(other => AreSame(other.Runs, runs) && other.Facts.SequenceEqual(facts))) return false;
        seen.Add((runs, facts));
        return true;
    }

    private static bool AreSame(HashSet<int> left, HashSet<int> right)
    {
        var (small, large) = left.Count < right.Count ? (left, right) : (right, left);
        if (small.Count < Same * large.Count) return false;
        var common = small.Count(large.Contains);
        return common >= Same * (left.Count + right.Count - common);
    }
}
