using System.Globalization;
using System.Text;

namespace Proxy.Cli.Knowledge;

/// <summary>Names and texts of documents for a terminal, which they could otherwise control.</summary>
internal static class SafeText
{
    /// <summary>
    /// The text with control characters, marks that change the direction of writing, and halves of surrogates written as <c>\x1b</c> or <c>\u202e</c>; in one
    /// line.
    /// </summary>
    public static string Of(string text)
    {
        if (!text.AsSpan().ContainsAnyExceptInRange(' ', '~')) return text;
        var safe = new StringBuilder(text.Length + 16);
        foreach (var rune in text.EnumerateRunes())
        {
            var category = Rune.GetUnicodeCategory(rune);
            if (category is UnicodeCategory.Control) safe.Append(CultureInfo.InvariantCulture, $"\\x{rune.Value:x2}");
            else if (category is UnicodeCategory.Format or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator)
                safe.Append(CultureInfo.InvariantCulture, $"\\u{rune.Value:x4}");
            else safe.Append(rune.ToString());
        }

        return safe.ToString();
    }

    /// <summary>Text of a document as one paragraph: every run of white space and control characters is one space.</summary>
    public static string Flowing(string text)
    {
        var flowing = new StringBuilder(text.Length);
        foreach (var rune in text.EnumerateRunes())
        {
            if (Rune.IsWhiteSpace(rune) || Rune.IsControl(rune))
            {
                if (flowing.Length > 0 && flowing[^1] != ' ') flowing.Append(' ');
            }
            else if (Rune.GetUnicodeCategory(rune) is not UnicodeCategory.Format) flowing.Append(rune.ToString());
        }

        return flowing.ToString().TrimEnd();
    }
}
