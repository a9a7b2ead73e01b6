namespace Proxy.Documents.Formats;

/// <summary>
/// Writes the rows of one table as blocks: cells separated by " | ". The first row is the head if it looks like one: it is a block itself, and each later row
/// names it as its <see cref="TextBlock.TableHead"/>.
/// </summary>
/// <param name="blocks">Where the rows go.</param>
/// <param name="firstIsHead">True if the format says that the first row is a head; null to judge by its cells.</param>
internal sealed class TableRows(BlockList blocks, bool? firstIsHead = null)
{
    private List<string>? first;
    private string? head;

    public void Add(IReadOnlyList<string> cells)
    {
        var row = cells.Select(BlockList.OneLine).ToList();
        while (row.Count > 0 && row[^1].Length == 0) row.RemoveAt(row.Count - 1);
        if (row.Count == 0) return;
        if (head is null && first is null)
        {
            first = row;
            return;
        }

        if (first is not null) EndFirst(hasMore: true);
        blocks.Add(Line(row), isVerbatim: true, tableHead: head is "" ? null : head);
    }

    public void End()
    {
        if (first is not null) EndFirst(hasMore: false);
        head = null;
    }

    private void EndFirst(bool hasMore)
    {
        var line = Line(first!);
        head = hasMore && (firstIsHead ?? LooksLikeHead(first!)) ? line : "";
        first = null;
        blocks.Add(line, isVerbatim: true);
    }

    private static string Line(List<string> row) => string.Join(" | ", row);

    /// <summary>At least two columns, all named, each differently and with something else than a number.</summary>
    private static bool LooksLikeHead(List<string> row) =>
        row.Count >= 2 && row.All(static cell => cell.Length is > 0 and <= 100 && cell.Any(char.IsLetter) && !char.IsAsciiDigit(cell[0]))
        && row.Distinct(StringComparer.Ordinal).Count() == row.Count;
}
