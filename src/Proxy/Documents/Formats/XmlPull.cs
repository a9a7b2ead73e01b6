using System.Net;
using System.Text;

namespace Proxy.Documents.Formats;

/// <summary>What <see cref="XmlPull.Read"/> stands on.</summary>
internal enum XmlPart
{
    Element,
    EndElement,
    Text,
}

/// <summary>
/// Reads the XML of Office files and EPUB part by part, while it is unpacked: elements, attributes, text, CDATA, the five entities and character references. A
/// DTD is refused, so there is nothing to expand. The reader of the framework would add half a megabyte to the program.
/// </summary>
internal sealed class XmlPull(Stream file, ReadGuard guard) : IDisposable
{
    /// <summary>Characters of a tag.</summary>
    private const int TagLength = 1 << 20;

    private readonly StreamReader reader = new(file);
    private readonly char[] buffer = new char[16 << 10];
    private readonly StringBuilder token = new();
    private string attributes = "";
    private int at, end, open;

    public XmlPart Part { get; private set; }

    /// <summary>The element's name without its prefix; empty for text.</summary>
    public string Name { get; private set; } = "";

    /// <summary>The text of a <see cref="XmlPart.Text"/>.</summary>
    public string Value { get; private set; } = "";

    /// <summary>Whether the element ends with its start tag; no end follows then.</summary>
    public bool IsEmpty { get; private set; }

    /// <summary>The elements around this part. An element's start and end have the same depth.</summary>
    public int Depth { get; private set; }

    /// <summary>Goes to the next part; false at the end of the file.</summary>
    public bool Read()
    {
        while (true)
        {
            guard.Step();
            var next = Peek();
            if (next < 0) return open == 0 ? false : throw Damaged("it ends inside of an element");
            if (next != '<')
            {
                Until("<", DocumentLimits.TextLength, keepEnd: true);
                if (open == 0) continue;
                return Is(XmlPart.Text, WebUtility.HtmlDecode(token.ToString()));
            }

            at++;
            switch (Peek())
            {
                case '?':
                    Until("?>", TagLength);
                    continue;
                case '!':
                    if (!Declaration()) continue;
                    return Is(XmlPart.Text, token.ToString(0, token.Length - 3));
                case '/':
                    at++;
                    Until(">", TagLength);
                    if (--open < 0) throw Damaged("an element ends that did not begin");
                    Name = Local(token.ToString(0, token.Length - 1).TrimEnd());
                    return Is(XmlPart.EndElement, "");
                default:
                    StartTag();
                    return true;
            }
        }
    }

    /// <summary>Goes past the current element and all that it holds; the reader then stands on its end.</summary>
    public void Skip()
    {
        if (IsEmpty) return;
        var depth = Depth;
        while (Read() && (Depth > depth || Part != XmlPart.EndElement))
        {
        }
    }

    /// <summary>The text of the current element; the reader then stands on its end.</summary>
    public string Text()
    {
        if (IsEmpty) return "";
        var depth = Depth;
        var first = "";
        StringBuilder? more = null;
        while (Read() && Depth > depth)
        {
            if (Part != XmlPart.Text) continue;
            if (first.Length == 0) first = Value;
            else (more ??= new(first)).Append(Value);
        }

        return more?.ToString() ?? first;
    }

    /// <summary>The value of an attribute, whatever its prefix is; null if there is none.</summary>
    /// <param name="name">Its name without the prefix.</param>
    /// <param name="withPrefix">True to find only one with a prefix: r:id and not id.</param>
    public string? Attribute(string name, bool withPrefix = false)
    {
        var rest = attributes.AsSpan();
        while (true)
        {
            var equals = rest.IndexOf('=');
            if (equals < 0) return null;
            var found = rest[..equals].Trim();
            rest = rest[(equals + 1)..].TrimStart();
            if (rest.Length == 0 || rest[0] is not ('"' or '\'')) return null;
            var length = rest[1..].IndexOf(rest[0]);
            if (length < 0) return null;
            var colon = found.IndexOf(':');
            if (found[(colon + 1)..].SequenceEqual(name) && (colon >= 0 || !withPrefix) && !found.StartsWith("xmlns"))
                return WebUtility.HtmlDecode(rest.Slice(1, length).ToString());
            rest = rest[(length + 2)..];
        }
    }

    public void Dispose() => reader.Dispose();

    private static string Local(string name) => name[(name.IndexOf(':', StringComparison.Ordinal) + 1)..];

    private static DocumentException Damaged(string how) => new(DocumentFault.Invalid, $"the file is damaged: in its XML, {how}");

    private bool Is(XmlPart part, string value)
    {
        (Part, Value, Depth, IsEmpty) = (part, value, open, false);
        if (part == XmlPart.Text) Name = "";
        return true;
    }

    /// <summary>Reads a comment or a CDATA section; true for the latter, which is then the token with its end.</summary>
    private bool Declaration()
    {
        at++;
        if (Begins("--"))
        {
            Until("-->", DocumentLimits.TextLength);
            return false;
        }

        if (!Begins("[CDATA["))
            throw new DocumentException(DocumentFault.Invalid, "the file's XML has a document type declaration (DTD), which no document needs");
        Until("]]>", DocumentLimits.TextLength);
        return open > 0;
    }

    private bool Begins(string mark)
    {
        foreach (var c in mark)
        {
            if (Peek() != c) return false;
            at++;
        }

        return true;
    }

    private void StartTag()
    {
        token.Clear();
        var quote = 0;
        while (true)
        {
            var c = Peek();
            if (c < 0) throw Damaged("a tag has no end");
            at++;
            if (quote != 0) quote = c == quote ? 0 : quote;
            else if (c is '"' or '\'') quote = c;
            else if (c == '>') break;
            if (token.Length == TagLength) throw Damaged("a tag has no end");
            token.Append((char)c);
        }

        var tag = token.ToString();
        var isEmpty = tag.EndsWith('/');
        if (isEmpty) tag = tag[..^1];
        var space = tag.AsSpan().IndexOfAny(" \t\r\n");
        Name = Local(space < 0 ? tag : tag[..space]);
        attributes = space < 0 ? "" : tag[space..];
        Is(XmlPart.Element, "");
        IsEmpty = isEmpty;
        if (!isEmpty) open++;
        if (open > DocumentLimits.XmlDepth)
            throw new DocumentException(DocumentFault.Invalid, $"the file has elements of XML nested more than {DocumentLimits.XmlDepth:N0} levels deep");
    }

    /// <summary>Reads into the token up to a mark, which the token has as well unless it is kept for later.</summary>
    private void Until(string mark, int limit, bool keepEnd = false)
    {
        token.Clear();
        while (true)
        {
            if (Peek() < 0)
            {
                if (keepEnd) return;
                throw Damaged($"'{mark}' is missing");
            }

            var rest = buffer.AsSpan(at, end - at);
            var stop = rest.IndexOf(mark[^1]);
            var take = stop < 0 ? rest.Length : keepEnd ? stop : stop + 1;
            token.Append(rest[..take]);
            at += take;
            if (token.Length > limit) throw Damaged("a part is too long");
            if (stop < 0) continue;
            if (keepEnd || EndsWith(mark)) return;
        }
    }

    private bool EndsWith(string mark)
    {
        if (token.Length < mark.Length) return false;
        for (var i = 1; i <= mark.Length; i++)
        {
            if (token[^i] != mark[^i]) return false;
        }

        return true;
    }

    private int Peek()
    {
        if (at < end) return buffer[at];
        (at, end) = (0, reader.Read(buffer, 0, buffer.Length));
        return end > 0 ? buffer[0] : -1;
    }
}
