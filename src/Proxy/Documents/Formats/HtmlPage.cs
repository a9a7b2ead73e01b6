using System.Net;
using System.Text;

namespace Proxy.Documents.Formats;

/// <summary>Makes blocks of the tags and the text of a page.</summary>
internal sealed class HtmlPage(BlockList blocks)
{
    /// <summary>Tables inside each other; deeper ones are ignored.</summary>
    private const int TableDepth = 100;

    private readonly StringBuilder text = new();
    private readonly Stack<HtmlTable> tables = new();
    private int heading, preformatted;

    public void Step() => blocks.Guard.Step();

    public void Title(ReadOnlySpan<char> title)
    {
        // The titles of SVG pictures come later and are none of the page.
        blocks.Title ??= BlockList.OneLine(WebUtility.HtmlDecode(title.ToString()));
    }

    public void Text(ReadOnlySpan<char> piece, bool isShown)
    {
        if (!isShown) return;
        var decoded = piece.Contains('&') ? WebUtility.HtmlDecode(piece.ToString()) : piece;
        if (preformatted > 0)
        {
            text.Append(decoded);
            return;
        }

        foreach (var c in decoded)
        {
            if (!IsSpace(c)) text.Append(c);
            else if (text.Length > 0 && text[^1] is not (' ' or '\n')) text.Append(' ');
        }
    }

    /// <param name="element">The element's name in small letters.</param>
    /// <param name="closes">Whether it is an end tag.</param>
    /// <param name="isShown">Whether it stands in the part of the page that is read.</param>
    /// <param name="attributes">What follows the name, up to and with the '&gt;'.</param>
    /// <param name="isBorder">Whether the element begins and ends a block.</param>
    public void Tag(ReadOnlySpan<char> element, bool closes, bool isShown, ReadOnlySpan<char> attributes, bool isBorder)
    {
        if (!isShown)
        {
            EndBlock();
            return;
        }

        if (element is "br")
        {
            text.Append('\n');
            return;
        }

        if (element is "img" && !closes) Alternative(attributes);
        if (!isBorder) return;
        EndBlock();
        if (element is "table") Table(closes);
        else if (tables.TryPeek(out var table) && element is "tr" or "td" or "th") Cell(table, element, closes);
        else if (element is "pre") preformatted = closes ? Math.Max(0, preformatted - 1) : preformatted + 1;
        else if (element.Length == 2 && element[0] == 'h' && element[1] is >= '1' and <= '6') heading = closes ? 0 : element[1] - '0';
        else if (element is "li" && !closes) text.Append("- ");
    }

    public void End()
    {
        EndBlock();
        while (tables.TryPop(out var table)) table.End();
    }

    private static bool IsSpace(char c) => c is ' ' or '\n' or '\r' or '\t' or '\f';

    private void Alternative(ReadOnlySpan<char> attributes)
    {
        var at = attributes.IndexOf(" alt=\"", StringComparison.OrdinalIgnoreCase);
        if (at < 0) return;
        var value = attributes[(at + 6)..];
        var end = value.IndexOf('"');
        if (end > 3) Text(value[..end], isShown: true);
    }

    private void Table(bool closes)
    {
        if (closes)
        {
            if (tables.TryPop(out var table)) table.End();
            return;
        }

        // A table with another one inside only places parts of the page.
        if (tables.TryPeek(out var outer)) outer.IsLayout = true;
        if (tables.Count < TableDepth) tables.Push(new(blocks));
    }

    private static void Cell(HtmlTable table, ReadOnlySpan<char> element, bool closes)
    {
        if (element is "tr") table.EndRow();
        else if (!closes) table.BeginCell(isHead: element is "th");
    }

    private void EndBlock()
    {
        var isCode = preformatted > 0;
        if (text.Length == 0) return;
        var block = text.ToString();
        text.Clear();
        if (string.IsNullOrWhiteSpace(block) || block is "- ") return;
        if (heading > 0)
        {
            if (tables.TryPeek(out var outer)) outer.IsLayout = true;
            var title = BlockList.OneLine(block);
            if (heading == 1) blocks.Title ??= title;
            blocks.Heading(heading, title);
        }
        else if (tables.TryPeek(out var table) && !table.IsLayout) table.Add(block);
        else blocks.Add(block, isVerbatim: isCode);
    }

    /// <summary>A table that is being read.</summary>
    private sealed class HtmlTable(BlockList blocks)
    {
        private readonly List<List<string>> row = [];
        private readonly TableRows rows = new(blocks);
        private TableRows? marked;
        private int heads;
        private bool began, isLayout;

        /// <summary>Whether the table only places parts of the page. What its cells hold are then ordinary blocks.</summary>
        public bool IsLayout
        {
            get => isLayout;
            set
            {
                if (value && !isLayout) Release();
                isLayout = value;
            }
        }

        public void BeginCell(bool isHead)
        {
            if (isLayout) return;
            if (row.Count == DocumentLimits.Columns)
                throw new DocumentException(DocumentFault.Invalid, $"a row has more than {DocumentLimits.Columns:N0} columns");
            row.Add([]);
            if (isHead) heads++;
        }

        public void Add(string block)
        {
            if (row.Count == 0) row.Add([]);
            row[^1].Add(block);
        }

        public void EndRow()
        {
            if (isLayout || row.Count == 0) return;
            // A single cell with several paragraphs, or a long one, is a part of the page and no row.
            if (row.Count == 1 && (row[0].Count > 1 || row[0].Any(static text => text.Length > 500))) Release();
            else
            {
                if (!began) marked = heads == row.Count && row.Count > 1 ? new TableRows(blocks, firstIsHead: true) : rows;
                began = true;
                marked!.Add([.. row.Select(static cell => string.Join(' ', cell))]);
            }

            row.Clear();
            heads = 0;
        }

        public void End()
        {
            EndRow();
            marked?.End();
        }

        private void Release()
        {
            marked?.End();
            foreach (var block in row.SelectMany(static cell => cell)) blocks.Add(block);
            row.Clear();
            heads = 0;
        }
    }
}
