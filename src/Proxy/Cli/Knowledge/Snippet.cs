namespace Proxy.Cli.Knowledge;

/// <summary>The part of a passage that shows why it was found.</summary>
internal static class Snippet
{
    private const int Length = 330, Width = 110;

    /// <summary>The part of the text in which most of the query's words stand, in lines.</summary>
    public static IEnumerable<string> Lines(string text, string query)
    {
        var flowing = SafeText.Flowing(text);
        var start = Best(flowing, query);
        var end = Math.Min(flowing.Length, start + Length);
        if (end < flowing.Length && flowing.LastIndexOf(' ', end) is var space && space > start) end = space;
        var part = (start > 0 ? "…" : "") + flowing[start..end] + (end < flowing.Length ? "…" : "");
        while (part.Length > Width)
        {
            var cut = part.LastIndexOf(' ', Width);
            if (cut <= 0) cut = char.IsHighSurrogate(part[Width - 1]) ? Width - 1 : Width;
            yield return part[..cut];
            part = part[cut..].TrimStart();
        }

        if (part.Length > 0) yield return part;
    }

    private static int Best(string text, string query)
    {
        if (text.Length <= Length) return 0;
        var words = query.Split([' ', ',', '.', '?', '!', '"', '(', ')'], StringSplitOptions.RemoveEmptyEntries)
            .Where(static word => word.Length > 2).ToArray();
        var (best, most) = (0, 0);
        for (var start = 0; start < text.Length - (Length / 2); start = Next(text, start))
        {
            var part = text.AsSpan(start, Math.Min(Length, text.Length - start));
            var count = 0;
            foreach (var word in words)
            {
                if (part.Contains(word, StringComparison.OrdinalIgnoreCase)) count++;
            }

            if (count > most) (best, most) = (start, count);
        }

        return best;
    }

    /// <summary>The beginning of a word some way on.</summary>
    private static int Next(string text, int start) =>
        text.IndexOf(' ', Math.Min(start + 40, text.Length)) is >= 0 and var space ? space + 1 : text.Length;
}
