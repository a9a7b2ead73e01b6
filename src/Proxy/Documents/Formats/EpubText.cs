using System.Text;

namespace Proxy.Documents.Formats;

/// <summary>Reads EPUB: its pages in the order of reading, each as HTML.</summary>
internal static class EpubText
{
    private const string Container = "META-INF/container.xml";

    public static void Read(PackageFile package, BlockList blocks)
    {
        var opf = PackagePath(package, blocks.Guard);
        var folder = opf[..(opf.LastIndexOf('/') + 1)];
        var (title, pages) = Contents(package, opf, blocks.Guard);
        long length = 0;
        foreach (var page in pages)
        {
            blocks.EndSections();
            using var file = package.File(PackageFile.Path(folder, Uri.UnescapeDataString(page)));
            if (file is null) continue;
            var html = Page(file, DocumentLimits.WholeFile - length);
            length += html.Length;
            if (html.AsSpan(0, Math.Min(html.Length, 1000)).Count('\uFFFD') > 20)
                throw new DocumentException(DocumentFault.Invalid, "the book's pages are encrypted (DRM)");
            HtmlText.Read(html, blocks);
        }

        blocks.Title = title;
    }

    private static string Page(Stream file, long limit)
    {
        using var reader = new StreamReader(file);
        var html = new StringBuilder();
        var buffer = new char[16 << 10];
        for (int n; (n = reader.Read(buffer)) > 0;)
        {
            html.Append(buffer, 0, n);
            if (html.Length > limit)
                throw new DocumentException(DocumentFault.Invalid, $"the book has more than {DocumentLimits.WholeFile >> 20} million characters");
        }

        return html.ToString();
    }

    private static string PackagePath(PackageFile package, ReadGuard guard)
    {
        using var xml = package.Xml(Container);
        while (xml is not null && xml.Read())
        {
            if (xml.Part == XmlPart.Element && xml.Name == "rootfile" && xml.Attribute("full-path") is { Length: > 0 } path)
                return PackageFile.Path("", path);
        }

        throw PackageFile.Missing($"list of its pages in {Container}");
    }

    private static (string? Title, List<string> Pages) Contents(PackageFile package, string opf, ReadGuard guard)
    {
        string? title = null;
        var hrefs = new Dictionary<string, string>(StringComparer.Ordinal);
        var pages = new List<string>();
        using var xml = package.Xml(opf) ?? throw PackageFile.Missing(opf);
        while (xml.Read())
        {
            if (xml.Part != XmlPart.Element) continue;
            if (xml.Name == "title") title ??= xml.Text().Trim();
            else if (xml.Name == "item" && xml.Attribute("id") is { } id && xml.Attribute("href") is { } href) hrefs[id] = href;
            else if (xml.Name == "itemref" && xml.Attribute("idref") is { } reference && hrefs.TryGetValue(reference, out var page)) pages.Add(page);
        }

        return (title, pages);
    }
}
