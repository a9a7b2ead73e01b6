using System.Globalization;
using System.Text;

namespace Proxy.Documents.Formats;

/// <summary>Reads DOCX: paragraphs, headings by their styles, tables, footnotes.</summary>
internal sealed class WordText
{
    private readonly PackageFile package;
    private readonly BlockList blocks;
    private readonly Dictionary<string, int> headings = new(StringComparer.Ordinal);
    private readonly StringBuilder text = new();
    private readonly List<string> cells = [];
    private readonly StringBuilder cell = new();
    private TableRows? table;
    private int level, tableDepth;
    private bool isItem;

    private WordText(PackageFile package, BlockList blocks) => (this.package, this.blocks) = (package, blocks);

    public static void Read(PackageFile package, BlockList blocks)
    {
        var reader = new WordText(package, blocks);
        blocks.Title = package.CoreTitle();
        reader.Styles();
        reader.Part("word/document.xml");
        blocks.EndSections();
        reader.Part("word/footnotes.xml");
        reader.Part("word/endnotes.xml");
    }

    /// <summary>Finds which styles are headings, by their English name, which a file keeps in every language, or by their outline level.</summary>
    private void Styles()
    {
        using var xml = package.Xml("word/styles.xml");
        var id = "";
        while (xml is not null && xml.Read())
        {
            if (xml.Part != XmlPart.Element) continue;
            if (xml.Name == "style") id = xml.Attribute("styleId") ?? "";
            else if (xml.Name == "name" && HeadingLevel(xml.Attribute("val")) is { } named) headings[id] = named;
            else if (xml.Name == "outlineLvl" && Number(xml.Attribute("val")) is >= 0 and < 9 and var outline) headings.TryAdd(id, outline + 1);
        }
    }

    private static int? HeadingLevel(string? style) =>
        style is null ? null
        : style.Equals("title", StringComparison.OrdinalIgnoreCase) ? 1
        : style.StartsWith("heading", StringComparison.OrdinalIgnoreCase) && Number(style.AsSpan(7).Trim().ToString()) is >= 1 and <= 9 and var level ? level
        : null;

    private static int? Number(string? digits) => int.TryParse(digits, CultureInfo.InvariantCulture, out var number) ? number : null;

    private void Part(string name)
    {
        using var xml = package.Xml(name);
        while (xml is not null && xml.Read())
        {
            if (xml.Part == XmlPart.Element) Open(xml);
            else if (xml.Part == XmlPart.EndElement) Close(xml.Name);
        }

        EndParagraph();
    }

    private void Open(XmlPull xml)
    {
        switch (xml.Name)
        {
            case "t": text.Append(xml.Text()); break;
            case "tab" when xml.Attribute("val") is null: text.Append('\t'); break;
            case "br" or "cr": text.Append('\n'); break;
            case "noBreakHyphen": text.Append('-'); break;
            case "pStyle": level = xml.Attribute("val") is { } style ? headings.TryGetValue(style, out var at) ? at : HeadingLevel(style) ?? 0 : 0; break;
            case "numPr": isItem = true; break;
            // The same content once more, for programs that do not know the first form; and text that was deleted with changes tracked.
            case "Fallback" or "del" or "moveFrom": xml.Skip(); break;
            case "tbl": OpenTable(); break;
            case "p" when xml.IsEmpty: EndParagraph(); break;
        }
    }

    private void Close(string name)
    {
        switch (name)
        {
            case "p": EndParagraph(); break;
            case "tc" when tableDepth == 1:
                if (cells.Count == DocumentLimits.Columns)
                    throw new DocumentException(DocumentFault.Invalid, $"a row has more than {DocumentLimits.Columns:N0} columns");
                cells.Add(cell.ToString());
                cell.Clear();
                break;
            case "tr" when tableDepth == 1: EndRow(); break;
            case "tbl": CloseTable(); break;
        }
    }

    private void OpenTable()
    {
        EndParagraph();
        if (tableDepth++ == 0) table = new(blocks);
    }

    private void CloseTable()
    {
        if (tableDepth == 0 || --tableDepth > 0) return;
        EndRow();
        table!.End();
        table = null;
    }

    private void EndRow()
    {
        if (cell.Length > 0) cells.Add(cell.ToString());
        // A row of one cell is a frame around text.
        if (cells.Count == 1) blocks.Add(cells[0]);
        else table!.Add(cells);
        cells.Clear();
        cell.Clear();
    }

    private void EndParagraph()
    {
        var paragraph = text.ToString();
        text.Clear();
        var (heading, item) = (level, isItem);
        (level, isItem) = (0, false);
        if (string.IsNullOrWhiteSpace(paragraph)) return;
        if (table is not null) cell.Append(cell.Length > 0 ? "\n" : "").Append(paragraph);
        else if (heading > 0)
        {
            if (heading == 1) blocks.Title ??= BlockList.OneLine(paragraph);
            blocks.Heading(heading, paragraph);
        }
        else blocks.Add(item ? "- " + paragraph.TrimStart() : paragraph);
    }
}
