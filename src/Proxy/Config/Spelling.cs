namespace Proxy.Config;

/// <summary>Finds the word that the user probably meant.</summary>
internal static class Spelling
{
    /// <summary>The candidate most similar to the word, or null if none is similar enough for a typing mistake.</summary>
    public static string? Nearest(string word, IEnumerable<string> candidates)
    {
        var best = (Distance: int.MaxValue, Word: (string?)null);
        foreach (var candidate in candidates)
        {
            var distance = Distance(word.Replace('-', '_').ToLowerInvariant(), candidate);
            if (distance <= Math.Max(1, Math.Min(word.Length, candidate.Length) / 3) && distance < best.Distance)
                best = (distance, candidate);
        }

        return best.Word;
    }

    /// <summary>The number of letters to insert, delete, change, or swap with a neighbour.</summary>
    private static int Distance(string from, string to)
    {
        var rows = new int[from.Length + 1, to.Length + 1];
        for (var i = 0; i <= from.Length; i++) rows[i, 0] = i;
        for (var j = 0; j <= to.Length; j++) rows[0, j] = j;

        for (var i = 1; i <= from.Length; i++)
            for (var j = 1; j <= to.Length; j++)
            {
                var change = from[i - 1] == to[j - 1] ? 0 : 1;
                rows[i, j] = Math.Min(rows[i - 1, j - 1] + change, Math.Min(rows[i - 1, j], rows[i, j - 1]) + 1);
                if (i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1])
                    rows[i, j] = Math.Min(rows[i, j], rows[i - 2, j - 2] + 1);
            }

        return rows[from.Length, to.Length];
    }
}
