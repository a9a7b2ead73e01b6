using System.Text;

namespace Proxy.Documents;

/// <summary>Collects the blocks of a document and holds it to its limits.</summary>
internal sealed class BlockList(ReadGuard guard)
{
    private readonly List<TextBlock> blocks = [];
    private readonly List<(int Level, string Text)> open = [];
    private string[] path = [];
    private long length;
    private bool headingIsBare;

    /// <summary>The title that the document states of itself.</summary>
    public string? Title { get; set; }

    /// <summary>The page of the blocks that are added next.</summary>
    public int? Page { get; set; }

    public int Count => blocks.Count;

    public ReadGuard Guard => guard;

    /// <summary>
    /// Begins a section; it ends with the next heading of the same or a higher level. A heading without any text below it becomes a block, so that it is not
    /// lost.
    /// </summary>
    /// <param name="level">From 1, the outermost.</param>
    /// <param name="text">Without markup.</param>
    public void Heading(int level, string text)
    {
        text = OneLine(Clean(text));
        if (text.Length == 0) return;
        if (text.Length > DocumentLimits.HeadingLength) text = text[..Whole(text, DocumentLimits.HeadingLength)].TrimEnd() + "…";
        if (headingIsBare && open[^1].Level >= level) KeepBareHeading();
        while (open.Count > 0 && open[^1].Level >= level) open.RemoveAt(open.Count - 1);
        open.Add((level, text));
        path = [.. open.Select(static heading => heading.Text)];
        headingIsBare = true;
    }

    /// <summary>Ends all sections.</summary>
    public void EndSections()
    {
        if (headingIsBare) KeepBareHeading();
        open.Clear();
        path = [];
    }

    public void Add(string text, bool isVerbatim = false, string? tableHead = null)
    {
        text = Clean(text);
        if (text.Length == 0) return;
        headingIsBare = false;
        foreach (var part in Parts(text)) Keep(new(part) { Headings = path, Page = Page, IsVerbatim = isVerbatim, TableHead = tableHead });
    }

    /// <summary>The document. Throws if it has no text.</summary>
    public DocumentText Finish(string whyEmpty)
    {
        EndSections();
        if (blocks.Count == 0) throw new DocumentException(DocumentFault.Empty, whyEmpty);
        var title = Title is null ? "" : OneLine(Clean(Title));
        if (title.Length > DocumentLimits.HeadingLength) title = title[..Whole(title, DocumentLimits.HeadingLength)];
        return new(title.Length == 0 ? null : title, blocks);
    }

    /// <summary>White space as single spaces.</summary>
    public static string OneLine(string text)
    {
        var clean = true;
        var before = ' ';
        foreach (var c in text)
        {
            if (char.IsWhiteSpace(c) && (c != ' ' || before == ' ')) clean = false;
            before = c;
        }

        if (clean && before != ' ') return text;
        var line = new StringBuilder(text.Length);
        foreach (var c in text)
        {
            if (!char.IsWhiteSpace(c)) line.Append(c);
            else if (line.Length > 0 && line[^1] != ' ') line.Append(' ');
        }

        return line.ToString().TrimEnd();
    }

    /// <summary>The largest length up to <paramref name="length"/> that does not cut a surrogate pair.</summary>
    public static int Whole(string text, int length) => length > 0 && length < text.Length && char.IsHighSurrogate(text[length - 1]) ? length - 1 : length;

    private void KeepBareHeading()
    {
        headingIsBare = false;
        Keep(new(open[^1].Text) { Headings = path[..^1], Page = Page });
    }

    private void Keep(TextBlock block)
    {
        guard.Step();
        length += block.Text.Length + 2;
        if (length > DocumentLimits.TextLength)
            throw new DocumentException(
                DocumentFault.Invalid, $"the document has more than {DocumentLimits.TextLength >> 20} million characters of text; split it");
        if (blocks.Count == DocumentLimits.Blocks)
            throw new DocumentException(DocumentFault.Invalid, $"the document has more than {DocumentLimits.Blocks:N0} paragraphs or rows; split it");
        blocks.Add(block);
    }

    /// <summary>Without control characters and halves of surrogate pairs, line ends as \n, no white space around.</summary>
    private static string Clean(string text)
    {
        text = text.Trim();
        var at = 0;
        while (at < text.Length && IsPlain(text[at])) at++;
        if (at == text.Length) return text;
        var clean = new StringBuilder(text.Length).Append(text, 0, at);
        for (; at < text.Length; at++)
        {
            var c = text[at];
            if (IsPlain(c)) clean.Append(c);
            else if (c == '\r') clean.Append(at + 1 < text.Length && text[at + 1] == '\n' ? "" : "\n");
            else if (char.IsHighSurrogate(c) && at + 1 < text.Length && char.IsLowSurrogate(text[at + 1])) clean.Append(c).Append(text[++at]);
            else if (char.IsSurrogate(c)) clean.Append('\uFFFD');
            else if (c is '\f' or '\v' or '\u0085') clean.Append('\n');
        }

        return clean.ToString().Trim();
    }

    /// <summary>Characters that stay as they are. Soft hyphens and byte order marks only hinder the search for words.</summary>
    private static bool IsPlain(char c) =>
        c is >= ' ' and < '\x7F' or '\n' or '\t' || (c >= '\xA0' && !char.IsSurrogate(c) && c is not ('\u00AD' or '\uFEFF' or '\uFFFE' or '\uFFFF'));

    private static IEnumerable<string> Parts(string text)
    {
        var at = 0;
        while (text.Length - at > DocumentLimits.BlockLength)
        {
            var piece = text.AsSpan(at, DocumentLimits.BlockLength);
            var cut = piece.LastIndexOf('\n');
            if (cut < piece.Length / 2) cut = piece.LastIndexOfAny(' ', '\n', '\t');
            if (cut < piece.Length / 2) cut = char.IsHighSurrogate(piece[^1]) ? piece.Length - 1 : piece.Length;
            var part = piece[..cut].Trim();
            if (part.Length > 0) yield return part.ToString();
            at += cut;
        }

        var rest = text.AsSpan(at).Trim();
        if (rest.Length > 0) yield return rest.ToString();
    }
}
