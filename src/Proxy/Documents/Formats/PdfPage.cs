using System.Text;

namespace Proxy.Documents.Formats;

/// <summary>The lines of a page of a PDF.</summary>
internal sealed class PdfPage
{
    /// <summary>The pages that a line must stand on to count as a running header or footer, and their share of all.</summary>
    private const int FewPages = 4;
    private const double ManyPages = .5;

    private readonly List<string> lines;

    public PdfPage(int number, string text)
    {
        Number = number;
        Length = text.Length;
        foreach (var c in text)
        {
            if (char.IsWhiteSpace(c)) continue;
            Visible++;
            if (c is '\uFFFD' or (>= '\uE000' and <= '\uF8FF') or < ' ' or (>= '\x7F' and < '\xA0')) Noise++;
        }

        lines = [.. Unligated(text).Split('\n').Select(static line => line.Trim())];
    }

    public int Number { get; }

    public int Length { get; }

    /// <summary>Characters that are not white space, and those of them that are no characters.</summary>
    public int Visible { get; }

    public int Noise { get; }

    /// <summary>Whether text is shown whose letters are not known.</summary>
    public bool HasLostText { get; init; }

    /// <summary>Why the page could not be read.</summary>
    public Exception? Damage { get; init; }

    /// <summary>Takes out the first and last lines that most pages share apart from their numbers.</summary>
    public static void DropRepeated(List<PdfPage> pages)
    {
        if (pages.Count < FewPages) return;
        var counts = new Dictionary<string, int>(StringComparer.Ordinal);
        foreach (var page in pages)
        {
            foreach (var at in page.Edges()) counts[Shape(page.lines[at])] = counts.GetValueOrDefault(Shape(page.lines[at])) + 1;
        }

        var least = Math.Max(FewPages, (int)(pages.Count * ManyPages));
        foreach (var page in pages)
        {
            foreach (var at in page.Edges())
            {
                if (counts[Shape(page.lines[at])] >= least) page.lines[at] = "";
            }
        }
    }

    /// <summary>The paragraphs: lines joined by spaces, words that were divided at a line's end joined again.</summary>
    public IEnumerable<string> Paragraphs()
    {
        var paragraph = new StringBuilder();
        foreach (var line in lines)
        {
            if (line.Length == 0)
            {
                if (paragraph.Length > 0) yield return paragraph.ToString();
                paragraph.Clear();
                continue;
            }

            if (EndsDivided(paragraph) && char.IsLower(line[0])) paragraph.Length--;
            else if (paragraph.Length > 0) paragraph.Append(' ');
            paragraph.Append(line);
        }

        if (paragraph.Length > 0) yield return paragraph.ToString();
    }

    private static bool EndsDivided(StringBuilder text) =>
        text.Length > 1 && text[^1] is '-' or '\u2010' or '\u00AD' && text.Length > 1 && char.IsLower(text[^2]);

    /// <summary>A line with its numbers replaced, so that "Page 3" is equal to "Page 4".</summary>
    private static string Shape(string line)
    {
        var shape = new StringBuilder(line.Length);
        foreach (var c in line)
        {
            if (!char.IsAsciiDigit(c)) shape.Append(c);
            else if (shape.Length == 0 || shape[^1] != '#') shape.Append('#');
        }

        return shape.ToString();
    }

    /// <summary>The ligatures of Latin letters as the letters; without Unicode data, which this program leaves out, NFKC does not do it.</summary>
    private static string Unligated(string text)
    {
        if (text.AsSpan().IndexOfAnyInRange('\uFB00', '\uFB06') < 0) return text;
        string[] letters = ["ff", "fi", "fl", "ffi", "ffl", "st", "st"];
        var plain = new StringBuilder(text.Length + 16);
        foreach (var c in text)
        {
            if (c is >= '\uFB00' and <= '\uFB06') plain.Append(letters[c - '\uFB00']);
            else plain.Append(c);
        }

        return plain.ToString();
    }

    /// <summary>The places of the first and the last line.</summary>
    private int[] Edges()
    {
        var first = lines.FindIndex(static line => line.Length > 0);
        var last = lines.FindLastIndex(static line => line.Length > 0);
        return first < 0 ? [] : first == last ? [first] : [first, last];
    }
}
