using System.Buffers;
using System.Net;
using System.Text;

namespace Proxy.Documents.Formats;

/// <summary>Takes the markup out of a line of Markdown: links and pictures become their text, emphasis its words; tags of HTML go.</summary>
internal static class MarkdownInline
{
    /// <summary>How far the end of a link's address or of a tag is searched.</summary>
    private const int Near = 2000;

    /// <summary>Stands for a character that turned out to be markup.</summary>
    private const char Dropped = '\0';

    private static readonly SearchValues<char> Marks = SearchValues.Create("*_`[]<&\\!~");

    /// <summary>Tags that are taken out. Others are likely to be something else: List&lt;string&gt;, &lt;name&gt;.</summary>
    private static readonly HashSet<string> Tags = new(
        ("a abbr b big blockquote br center code dd del details dfn div dl dt em font h1 h2 h3 h4 h5 h6 hr i img input ins kbd li mark ol p picture pre s samp"
            + " small source span strike strong sub summary sup table tbody td th thead tr u ul var video").Split(' '),
        StringComparer.OrdinalIgnoreCase);

    private static readonly HashSet<string>.AlternateLookup<ReadOnlySpan<char>> TagNames = Tags.GetAlternateLookup<ReadOnlySpan<char>>();

    public static string Plain(string markup)
    {
        if (markup.AsSpan().IndexOfAny(Marks) < 0) return markup;
        var text = new StringBuilder(markup.Length);
        var opened = new Stack<int>();
        for (var at = 0; at < markup.Length;)
        {
            var c = markup[at];
            if (c == '\\' && at + 1 < markup.Length && char.IsAsciiLetterOrDigit(markup[at + 1]) is false && !char.IsWhiteSpace(markup[at + 1]))
            {
                text.Append(markup[at + 1]);
                at += 2;
            }
            else if (c == '`') at = Code(markup, at, text);
            else if (c is '*' or '_' or '~') at = Emphasis(markup, at, text);
            else if (c == '[')
            {
                opened.Push(text.Length);
                text.Append(c);
                at++;
            }
            else if (c == ']') at = LinkEnd(markup, at, text, opened);
            else if (c == '<') at = Tag(markup, at, text);
            else
            {
                text.Append(c);
                at++;
            }
        }

        var plain = text.Replace(Dropped.ToString(), "").ToString();
        return plain.Contains('&') ? WebUtility.HtmlDecode(plain) : plain;
    }

    /// <summary>The content of code keeps its characters; the ticks go.</summary>
    private static int Code(string markup, int at, StringBuilder text)
    {
        var ticks = 0;
        while (at + ticks < markup.Length && markup[at + ticks] == '`') ticks++;
        var from = at + ticks;
        var end = markup.AsSpan(from, Math.Min(markup.Length - from, Near)).IndexOf(markup.AsSpan(at, ticks));
        if (end < 0)
        {
            text.Append('`', ticks);
            return from;
        }

        text.Append(markup, from, end);
        return from + end + ticks;
    }

    /// <summary>Marks of emphasis touch a word on one side. Others are characters: 2 * 3, snake_case.</summary>
    private static int Emphasis(string markup, int at, StringBuilder text)
    {
        var end = at;
        while (end < markup.Length && markup[end] == markup[at]) end++;
        var before = at > 0 ? markup[at - 1] : ' ';
        var after = end < markup.Length ? markup[end] : ' ';
        var isPlain = (char.IsWhiteSpace(before) && char.IsWhiteSpace(after))
            || (char.IsLetterOrDigit(before) && char.IsLetterOrDigit(after) && end - at == 1)
            || (markup[at] == '_' && char.IsLetterOrDigit(before) && char.IsLetterOrDigit(after))
            || (markup[at] == '~' && end - at != 2);
        // "* " at the beginning is the mark of a list's item.
        if (isPlain) text.Append(markup, at, end - at);
        return end;
    }

    /// <summary>
    /// Of a link or picture, skips the address or label behind the text, and takes back the bracket before it. Other brackets are characters.
    /// </summary>
    private static int LinkEnd(string markup, int at, StringBuilder text, Stack<int> opened)
    {
        if (opened.TryPop(out var start) && at + 1 < markup.Length && markup[at + 1] is '(' or '[')
        {
            var close = markup[at + 1] == '(' ? ')' : ']';
            var end = markup.AsSpan(at + 2, Math.Min(markup.Length - at - 2, Near)).IndexOf(close);
            if (end >= 0)
            {
                text[start] = Dropped;
                if (start > 0 && text[start - 1] == '!') text[start - 1] = Dropped;
                return at + 2 + end + 1;
            }
        }

        text.Append(']');
        return at + 1;
    }

    private static int Tag(string markup, int at, StringBuilder text)
    {
        var rest = markup.AsSpan(at + 1, Math.Min(markup.Length - at - 1, Near));
        var end = rest.IndexOf('>');
        if (end <= 0 || !(char.IsAsciiLetter(rest[0]) || rest[0] is '/' or '!'))
        {
            text.Append('<');
            return at + 1;
        }

        // <https://…> and <name@host> are links.
        var inside = rest[..end];
        var name = inside.TrimStart('/');
        var nameEnd = name.IndexOfAny(' ', '/', '\n');
        if (nameEnd >= 0) name = name[..nameEnd];
        if (inside.IndexOfAny(' ', '\n') < 0 && inside.IndexOfAny(':', '@') > 0) text.Append(inside);
        else if (name.Equals("br", StringComparison.OrdinalIgnoreCase)) text.Append('\n');
        else if (inside[0] != '!' && !TagNames.Contains(name)) text.Append('<').Append(inside).Append('>');
        return at + 1 + end + 1;
    }
}
