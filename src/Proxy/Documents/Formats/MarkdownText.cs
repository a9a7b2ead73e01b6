using System.Text;

namespace Proxy.Documents.Formats;

/// <summary>
/// Reads Markdown line by line: headings, fenced code, tables, lists, quotations, the front matter's title. Everything is linear in the file's length and
/// nothing recurses, which holds for no full parser of CommonMark: 100,000 nested quotations or brackets are only text here.
/// </summary>
internal sealed class MarkdownText
{
    private readonly BlockList blocks;
    private readonly LineReader lines;
    private readonly StringBuilder paragraph = new();
    private readonly List<string> table = [];
    private readonly Queue<string> back = new();
    private TableRows? rows;
    private bool titleIsFrontMatter;

    private MarkdownText(TextReader text, BlockList blocks)
    {
        this.blocks = blocks;
        lines = new(text);
    }

    public static void Read(TextReader text, BlockList blocks) => new MarkdownText(text, blocks).Read();

    private void Read()
    {
        var first = Next();
        if (first?.TrimEnd() is "---" or "+++") first = FrontMatter(first.TrimEnd());
        for (var line = first; line is not null; line = Next())
        {
            blocks.Guard.Step();
            Line(line);
        }

        EndParagraph();
    }

    private string? Next() => back.TryDequeue(out var line) ? line : lines.Next();

    private void Line(string line)
    {
        var content = Unquoted(line, out var indent);
        if (content.Length == 0)
        {
            EndParagraph();
            return;
        }

        if (IsFence(content, out var fence))
        {
            EndParagraph();
            Code(fence);
        }
        else if (content.StartsWith("<!--")) Comment(content.ToString());
        else if (IsHeading(content, out var level)) Heading(level, content[level..].Trim().TrimEnd('#').ToString());
        else if (rows is null && table.Count == 0 && paragraph.Length > 0 && IsUnderline(content)) Underlined(content[0] == '=' ? 1 : 2);
        else if (IsRule(content)) EndParagraph();
        else if (rows is not null) Row(content.ToString());
        else if (paragraph.Length == 0 && IsIndented(line) && !IsItem(content)) IndentedCode(line);
        else if (!IsLinkTarget(content)) Text(content.ToString(), indent);
    }

    /// <summary>The line without the marks of quotations and without indentation.</summary>
    private static ReadOnlySpan<char> Unquoted(string line, out int indent)
    {
        var rest = line.AsSpan().TrimEnd();
        indent = 0;
        while (true)
        {
            var content = rest.TrimStart();
            indent += Width(rest[..(rest.Length - content.Length)]);
            rest = content;
            if (rest.Length == 0 || rest[0] != '>') return rest;
            rest = rest[1..];
            if (rest.Length > 0 && rest[0] == ' ') rest = rest[1..];
            indent = 0;
        }
    }

    private static int Width(ReadOnlySpan<char> spaces)
    {
        var width = 0;
        foreach (var c in spaces) width += c == '\t' ? 4 : 1;
        return width;
    }

    /// <summary>Up to six # and a space.</summary>
    private static bool IsHeading(ReadOnlySpan<char> line, out int level)
    {
        level = 0;
        while (level < line.Length && line[level] == '#') level++;
        return level is >= 1 and <= 6 && (level == line.Length || line[level] is ' ' or '\t');
    }

    private static bool IsUnderline(ReadOnlySpan<char> line) => line.Length >= 2 && line[0] is '=' or '-' && line.IndexOfAnyExcept(line[0]) < 0;

    private static bool IsRule(ReadOnlySpan<char> line)
    {
        if (line.Length < 3 || line[0] is not ('-' or '*' or '_')) return false;
        foreach (var c in line)
        {
            if (c != line[0] && c != ' ') return false;
        }

        return true;
    }

    private static bool IsFence(ReadOnlySpan<char> line, out string fence)
    {
        fence = "";
        if (line[0] is not ('`' or '~')) return false;
        var length = line.IndexOfAnyExcept(line[0]);
        if (length < 0) length = line.Length;
        if (length < 3 || (line[0] == '`' && line[length..].Contains('`'))) return false;
        fence = new(line[0], length);
        return true;
    }

    private static bool IsIndented(string line) => line.StartsWith("    ", StringComparison.Ordinal) || line.StartsWith('\t');

    /// <summary>"[label]: address", which links elsewhere refer to. A footnote is text.</summary>
    private static bool IsLinkTarget(ReadOnlySpan<char> line)
    {
        if (line.Length < 4 || line[0] != '[' || line[1] == '^') return false;
        var end = line.IndexOf("]: ");
        return end > 0 && line[(end + 3)..].Trim() is var address && address.Length > 0 && (address.IndexOf(' ') < 0 || address[^1] is '"' or '\'' or ')');
    }

    private static bool IsItem(ReadOnlySpan<char> line)
    {
        if (line.Length > 1 && line[0] is '-' or '*' or '+' && line[1] is ' ' or '\t') return true;
        var digits = 0;
        while (digits < line.Length && char.IsAsciiDigit(line[digits])) digits++;
        return digits is > 0 and < 10 && digits + 1 < line.Length && line[digits] is '.' or ')' && line[digits + 1] is ' ';
    }

    /// <summary>Reads the settings before the text, of which the title is kept. What looks like them and does not end is text.</summary>
    /// <returns>The line after them.</returns>
    private string? FrontMatter(string mark)
    {
        const int most = 200;
        var read = new List<string>();
        while (read.Count < most && Next() is { } line)
        {
            if (line.TrimEnd() == mark || (mark == "---" && line.TrimEnd() == "..."))
            {
                foreach (var setting in read) Setting(setting);
                return Next();
            }

            read.Add(line);
        }

        foreach (var line in read) back.Enqueue(line);
        return mark;
    }

    private void Setting(string line)
    {
        if (line.Length == 0 || char.IsWhiteSpace(line[0])) return;
        var divider = line.AsSpan().IndexOfAny(':', '=');
        if (divider < 0) return;
        var value = line[(divider + 1)..].Trim().Trim('"', '\'').Trim();
        if (value.Length == 0) return;
        var key = line.AsSpan(0, divider).Trim();
        if (key is "title") (blocks.Title, titleIsFrontMatter) = (value, true);
        else if (key is "description" or "summary" or "subtitle") blocks.Add(value);
    }

    private void Heading(int level, string markup)
    {
        EndParagraph();
        var text = MarkdownInline.Plain(markup);
        if (level == 1 && !titleIsFrontMatter) blocks.Title ??= text;
        blocks.Heading(level, text);
    }

    private void Underlined(int level)
    {
        var text = paragraph.ToString();
        paragraph.Clear();
        Heading(level, text);
    }

    private void Code(string fence)
    {
        var code = new StringBuilder();
        while (Next() is { } line)
        {
            blocks.Guard.Step();
            var bare = Unquoted(line, out _);
            if (bare.Length >= fence.Length && bare.StartsWith(fence) && bare.IndexOfAnyExcept(fence[0]) < 0) break;
            if (code.Length > 0 || bare.Length > 0) code.Append(line.StartsWith('>') ? bare : line).Append('\n');
            if (code.Length <= DocumentLimits.BlockLength) continue;
            blocks.Add(code.ToString(), isVerbatim: true);
            code.Clear();
        }

        blocks.Add(code.ToString(), isVerbatim: true);
    }

    /// <summary>Code by four spaces; it ends at the first line with less, which is then read as usual.</summary>
    private void IndentedCode(string line)
    {
        var code = new StringBuilder();
        var next = line;
        while (next is not null && (string.IsNullOrWhiteSpace(next) || IsIndented(next)))
        {
            blocks.Guard.Step();
            code.Append(next.StartsWith('\t') ? next[1..] : next.Length > 4 ? next[4..] : "").Append('\n');
            if (code.Length > DocumentLimits.BlockLength)
            {
                blocks.Add(code.ToString(), isVerbatim: true);
                code.Clear();
            }

            next = Next();
        }

        blocks.Add(code.ToString(), isVerbatim: true);
        if (next is not null) Line(next);
    }

    private void Comment(string line)
    {
        EndParagraph();
        for (var next = line; next is not null; next = Next())
        {
            blocks.Guard.Step();
            var end = next.IndexOf("-->", StringComparison.Ordinal);
            if (end < 0) continue;
            if (next[(end + 3)..].Trim() is { Length: > 0 } rest) Text(rest, 0);
            return;
        }
    }

    private void Text(string line, int indent)
    {
        if (IsItem(line) || paragraph.Length > DocumentLimits.BlockLength)
        {
            // A nested item stays with the item above it.
            if (indent < 2 || paragraph.Length + line.Length > NestedList) EndParagraph();
            else paragraph.Append('\n');
        }

        if (line.Contains('|') && table.Count == 0 && paragraph.Length == 0)
        {
            table.Add(line);
            return;
        }

        if (table.Count == 1)
        {
            var head = table[0];
            table.Clear();
            if (IsTableRule(line))
            {
                rows = new(blocks, firstIsHead: true);
                rows.Add(Cells(head));
                return;
            }

            paragraph.Append(head);
        }

        if (paragraph.Length > 0 && paragraph[^1] != '\n') paragraph.Append(' ');
        paragraph.Append(line);
    }

    /// <summary>Characters after which nested items become blocks of their own.</summary>
    private const int NestedList = 1000;

    private void Row(string line)
    {
        if (line.Contains('|'))
        {
            rows!.Add(Cells(line));
            return;
        }

        EndParagraph();
        Text(line, 0);
    }

    private static bool IsTableRule(string line) => line.Contains('-') && line.AsSpan().IndexOfAnyExcept("-:| \t") < 0;

    private static List<string> Cells(string line)
    {
        var cells = new List<string>();
        var from = line[0] == '|' ? 1 : 0;
        for (var at = from; at <= line.Length; at++)
        {
            if (at < line.Length && (line[at] != '|' || (at > 0 && line[at - 1] == '\\'))) continue;
            if (at == line.Length && from == at) break;
            cells.Add(MarkdownInline.Plain(line[from..at].Replace("\\|", "|", StringComparison.Ordinal)));
            from = at + 1;
        }

        return cells;
    }

    private void EndParagraph()
    {
        rows?.End();
        rows = null;
        foreach (var line in table) paragraph.Append(line);
        table.Clear();
        if (paragraph.Length == 0) return;
        var text = paragraph.ToString();
        paragraph.Clear();
        blocks.Add(MarkdownInline.Plain(text));
    }
}
