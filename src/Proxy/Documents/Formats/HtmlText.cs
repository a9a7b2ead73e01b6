namespace Proxy.Documents.Formats;

/// <summary>
/// Reads HTML. A tokenizer in the manner of the HTML standard without a tree: the order of the text, the borders of blocks, headings, tables and what to leave
/// out are all in the tags, and nesting of any depth costs neither stack nor memory.
/// </summary>
internal static class HtmlText
{
    /// <summary>Elements whose content is not text of the page. Their ends are searched; without an end tag only the tag itself is skipped.</summary>
    private static readonly HashSet<string> Left =
    [
        "script", "style", "noscript", "template", "iframe", "object", "svg", "math", "canvas", "nav", "footer", "select", "button", "textarea", "dialog",
        "menu",
    ];

    /// <summary>Elements whose content is not markup.</summary>
    private static readonly HashSet<string> Raw = ["script", "style", "textarea", "title", "iframe", "noembed", "noframes", "xmp"];

    /// <summary>Elements that begin and end a block.</summary>
    private static readonly HashSet<string> Borders =
    [
        "p", "div", "li", "ul", "ol", "dl", "dt", "dd", "section", "article", "main", "header", "aside", "blockquote", "figure", "figcaption", "form",
        "fieldset",
        "hr", "address", "details", "summary", "body", "html", "head", "caption", "center", "tbody", "thead", "tfoot", "option", "legend", "title", "h1", "h2",
        "h3", "h4", "h5", "h6", "pre", "table", "tr", "td", "th",
    ];

    private static readonly HashSet<string>.AlternateLookup<ReadOnlySpan<char>> LeftNames = Left.GetAlternateLookup<ReadOnlySpan<char>>();
    private static readonly HashSet<string>.AlternateLookup<ReadOnlySpan<char>> RawNames = Raw.GetAlternateLookup<ReadOnlySpan<char>>();
    private static readonly HashSet<string>.AlternateLookup<ReadOnlySpan<char>> BorderNames = Borders.GetAlternateLookup<ReadOnlySpan<char>>();

    public static void Read(string html, BlockList blocks)
    {
        var page = new HtmlPage(blocks);
        var missing = new HashSet<string>(StringComparer.Ordinal);
        var main = FindMain(html, missing);
        Read(html, 0, html.Length, page, missing, main.Length == 0 ? null : main);
        page.End();
    }

    /// <summary>
    /// Where the page's &lt;main&gt; is, if it has one with a good part of the text. Then what is outside of it (menus, side bars) is left out.
    /// </summary>
    private static HtmlMain FindMain(string html, HashSet<string> missing)
    {
        var at = html.IndexOf("<main", StringComparison.OrdinalIgnoreCase);
        if (at < 0 || at + 5 >= html.Length || (!char.IsWhiteSpace(html[at + 5]) && html[at + 5] != '>')) return default;
        var start = TagEnd(html, at + 5);
        var end = FindEnd(html, start, "main", missing);
        // Anything shorter is more likely to be a frame of the page that a script fills.
        return end - start < 500 ? default : new(start, end - start);
    }

    private static void Read(string html, int at, int end, HtmlPage page, HashSet<string> missing, HtmlMain? main)
    {
        Span<char> name = stackalloc char[16];
        while (at < end)
        {
            page.Step();
            var tag = html.IndexOf('<', at, end - at);
            if (tag < 0) tag = end;
            if (tag > at) page.Text(html.AsSpan(at, tag - at), IsShown(at));
            if (tag == end) return;
            if (SkipComment(html, tag) is { } after)
            {
                at = after;
                continue;
            }

            var closes = tag + 1 < end && html[tag + 1] == '/';
            var letters = tag + (closes ? 2 : 1);
            if (letters >= end || !char.IsAsciiLetter(html[letters]))
            {
                page.Text("<", IsShown(tag));
                at = tag + 1;
                continue;
            }

            var length = NameLength(html, letters);
            at = TagEnd(html, letters + length);
            // Prefixes occur in XHTML; names longer than any that matters are of no interest.
            if (length > name.Length) continue;
            html.AsSpan(letters, length).ToLowerInvariant(name);
            var element = name[..length];
            if (!closes && (LeftNames.Contains(element) || RawNames.Contains(element)))
            {
                if (html[at - 2] == '/' && !RawNames.Contains(element)) continue;
                var stop = FindEnd(html, at, element.ToString(), missing);
                if (stop >= 0 && element is "title") page.Title(html.AsSpan(at, stop - at));
                if (stop >= 0) at = stop;
                else if (element is "script" or "style") at = end;
                continue;
            }

            page.Tag(element, closes, IsShown(tag), html.AsSpan(letters + length, Math.Max(0, at - letters - length)), BorderNames.Contains(element));
        }

        bool IsShown(int place) => main is not { } part || (place >= part.Start && place < part.Start + part.Length);
    }

    /// <summary>Where a comment, a declaration or a CDATA section ends; null if there is none.</summary>
    private static int? SkipComment(string html, int tag)
    {
        var rest = html.AsSpan(tag);
        if (rest.StartsWith("<!--")) return After("-->", 4);
        if (rest.StartsWith("<![CDATA[")) return tag + 9;
        if (rest.Length > 1 && rest[1] is '!' or '?') return After(">", 2);
        return null;

        int After(string close, int from)
        {
            var end = html.IndexOf(close, Math.Min(tag + from, html.Length), StringComparison.Ordinal);
            return end < 0 ? html.Length : end + close.Length;
        }
    }

    private static int NameLength(string html, int at)
    {
        var end = at;
        while (end < html.Length && !char.IsWhiteSpace(html[end]) && html[end] is not ('>' or '/')) end++;
        return end - at;
    }

    /// <summary>The place after a tag's '&gt;', which may stand in quoted values too.</summary>
    private static int TagEnd(string html, int at)
    {
        var quote = '\0';
        for (; at < html.Length; at++)
        {
            var c = html[at];
            if (quote != 0) quote = c == quote ? '\0' : quote;
            else if (c is '"' or '\'' && html[at - 1] == '=') quote = c;
            else if (c == '>') return at + 1;
        }

        return html.Length;
    }

    /// <summary>
    /// Where the end tag of an element stands whose content begins at <paramref name="at"/>; -1 if there is none. An element that had none once is not searched
    /// again, so that a page of such tags is not read once for each.
    /// </summary>
    private static int FindEnd(string html, int at, string element, HashSet<string> missing)
    {
        if (missing.Contains(element)) return -1;
        var depth = 1;
        var isRaw = Raw.Contains(element);
        while ((at = html.IndexOf('<', at)) >= 0)
        {
            var closes = at + 1 < html.Length && html[at + 1] == '/';
            var letters = at + (closes ? 2 : 1);
            at++;
            if (string.Compare(html, letters, element, 0, element.Length, StringComparison.OrdinalIgnoreCase) != 0) continue;
            var after = letters + element.Length;
            if (after < html.Length && !char.IsWhiteSpace(html[after]) && html[after] is not ('>' or '/')) continue;
            if (closes && (isRaw || --depth == 0)) return letters - 2;
            if (!closes && !isRaw) depth++;
        }

        missing.Add(element);
        return -1;
    }

    private readonly record struct HtmlMain(int Start, int Length);
}
