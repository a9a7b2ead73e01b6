using System.IO.Compression;
using System.Text;
using System.Text.RegularExpressions;

namespace Proxy.Bench;

/// <summary>
/// Makes a collection of manual pages: a document is a page's name and the beginning of its text, a query is the one-line description of its NAME section,
/// which is cut out of the text. Pages with one description are all relevant to it.
/// </summary>
internal static partial class ManPages
{
    private const int LongestText = 2400;
    private const int ShortestText = 300;
    private const int MostQueries = 600;

    private static readonly HashSet<string> TextMacros =
        ["", "B", "I", "BR", "RB", "BI", "IR", "RI", "IB", "SS", "IP", "Nm", "Ar", "Fl", "It", "Pa", "Xr", "Fn", "Cm"];

    public static Collection Read(string folder)
    {
        var (documents, descriptions, names) = (new List<Document>(), new List<string>(), new HashSet<string>());
        foreach (var file in Directory.EnumerateFiles(folder, "*.gz", SearchOption.AllDirectories).Order(StringComparer.Ordinal))
        {
            if (!Page().IsMatch(file) || new FileInfo(file).LinkTarget is not null) continue;
            using var unzipped = new StreamReader(new GZipStream(File.OpenRead(file), CompressionMode.Decompress), Encoding.UTF8);
            var (description, text) = Plain(unzipped.ReadToEnd());
            var name = Path.GetFileNameWithoutExtension(file);
            var title = name[..name.LastIndexOf('.')];
            if (description.Length > 0) text = text.Replace(description, "", StringComparison.OrdinalIgnoreCase);
            if (description.Split(' ').Length < 3 || text.Length < ShortestText || !names.Add(title)) continue;
            documents.Add(new(name, title, text.Length > LongestText ? text[..LongestText] : text));
            descriptions.Add(description);
        }

        var random = new Random(14);
        var queries = descriptions.Select(static (text, number) => (text, number)).GroupBy(static row => row.text.ToUpperInvariant())
            .Select(static group => new Query(group.First().text, [.. group.Select(static row => row.number)])).Where(static query => query.Relevant.Count <= 3)
            .OrderBy(_ => random.Next()).Take(MostQueries);
        return new(documents, [.. queries]);
    }

    /// <summary>The description, and the other sections without markup.</summary>
    private static (string Description, string Text) Plain(string source)
    {
        var (description, text, isName) = (new StringBuilder(), new StringBuilder(), false);
        foreach (var line in source.Split('\n'))
        {
            if (line.StartsWith(".\\\"", StringComparison.Ordinal) || line.StartsWith("'\\\"", StringComparison.Ordinal)) continue;
            var match = Macro().Match(line);
            var words = Unescape(match.Success ? match.Groups["rest"].Value : line);
            var macro = match.Groups["macro"].Value;
            if (macro is "SH" or "Sh")
            {
                isName = words.Trim('"', ' ').Equals("NAME", StringComparison.OrdinalIgnoreCase);
                if (!isName) text.Append('\n').Append(words.Replace("\"", "", StringComparison.Ordinal)).Append('\n');
            }
            else if (isName)
            {
                if (macro is "Nd") words = " - " + words;
                if (macro is "" or "Nm" or "Nd" or "B" or "BR") description.Append(' ').Append(words);
            }
            else if (TextMacros.Contains(macro))
            {
                text.Append(macro is "Fl" ? " -" : " ")
                    .Append(macro.Length == 2 && macro is not ("SS" or "IP") ? Joined(words) : words.Replace("\"", "", StringComparison.Ordinal));
                if (macro is "SS" or "IP") text.Append('\n');
            }
        }

        var one = Spaces().Replace(description.ToString(), " ").Trim();
        var dash = one.IndexOf(" - ", StringComparison.Ordinal);
        return (dash < 0 ? "" : one[(dash + 3)..].Trim(' ', '.'), Spaces().Replace(text.ToString(), " ").Trim());
    }

    /// <summary>The arguments of a macro that alternates fonts are one word.</summary>
    private static string Joined(string words) => words.Replace(" ", "", StringComparison.Ordinal).Replace("\"", "", StringComparison.Ordinal);

    private static string Unescape(string text)
    {
        text = Font().Replace(text, "");
        text = text.Replace("\\-", "-", StringComparison.Ordinal).Replace("\\(aq", "'", StringComparison.Ordinal)
            .Replace("\\(em", " - ", StringComparison.Ordinal).Replace("\\(en", "-", StringComparison.Ordinal)
            .Replace("\\(bu", " ", StringComparison.Ordinal).Replace("\\e", "\\", StringComparison.Ordinal);
        return Escape().Replace(text, "");
    }

    [GeneratedRegex(@"/man/man[1-8]/[^/]+\.gz$")]
    private static partial Regex Page();

    [GeneratedRegex(@"^[.'][ \t]*(?<macro>[A-Za-z]+)[ \t]*(?<rest>.*)$", RegexOptions.ExplicitCapture)]
    private static partial Regex Macro();

    [GeneratedRegex(@"\\f(\[[^\]]*\]|\([A-Z]{2}|.)|\\s[-+]?\d")]
    private static partial Regex Font();

    [GeneratedRegex(@"\\(\*?\[[^\]]*\]|\*?\(..|[&/,|^:%cpn~! ])")]
    private static partial Regex Escape();

    [GeneratedRegex(@"\s+")]
    private static partial Regex Spaces();
}
