using System.Globalization;
using System.IO.Compression;
using System.Text;
using Proxy.Documents;

namespace Proxy.Tests.Documents;

/// <summary>Makes small documents of each format, and reads them.</summary>
internal static class SampleDocuments
{
    private const string Office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
    private const string Packages = "http://schemas.openxmlformats.org/package/2006/relationships";
    private const string Word = "xmlns:w=\"http://schemas.openxmlformats.org/wordprocessingml/2006/main\"";
    private const string Drawing = "xmlns:a=\"http://schemas.openxmlformats.org/drawingml/2006/main\""
        + " xmlns:p=\"http://schemas.openxmlformats.org/presentationml/2006/main\"";

    public static DocumentText Read(byte[] content, string name, CancellationToken cancellation = default)
    {
        using var file = new MemoryStream(content, writable: false);
        return DocumentReader.Read(file, name, cancellation);
    }

    public static DocumentText Read(string content, string name) => Read(Encoding.UTF8.GetBytes(content), name);

    public static DocumentException Refused(byte[] content, string name) => Assert.Throws<DocumentException>(() => Read(content, name));

    public static DocumentException Refused(string content, string name) => Refused(Encoding.UTF8.GetBytes(content), name);

    public static string[] Texts(this DocumentText document) => [.. document.Blocks.Select(static block => block.Text)];

    public static string Heading(this TextBlock block) => string.Join(" › ", block.Headings);

    public static string Repeat(string text, int times) => string.Concat(Enumerable.Repeat(text, times));

    /// <summary>A PDF of pages of lines. An empty line makes a gap. The title goes into its information.</summary>
    public static byte[] Pdf(string title, params string[][] pages) => Pdf(title, "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>", pages);

    public static byte[] Pdf(string title, string font, params string[][] pages)
    {
        var objects = new List<byte[]>
        {
            Bytes("<< /Type /Catalog /Pages 2 0 R >>"),
            Bytes($"<< /Type /Pages /Count {pages.Length} /Kids [{string.Join(' ', pages.Select((_, i) => $"{5 + 2 * i} 0 R"))}] >>"),
            Bytes(font),
            Bytes($"<< /Title ({title}) >>"),
        };
        foreach (var lines in pages)
        {
            var content = new StringBuilder("BT /F1 12 Tf 72 740 Td ");
            foreach (var line in lines)
            {
                // A line in angle brackets is written in hexadecimal, for fonts with codes of two bytes.
                var shown = line.StartsWith('<') ? line
                    : $"({line.Replace("(", "\\(", StringComparison.Ordinal).Replace(")", "\\)", StringComparison.Ordinal)})";
                content.Append(line.Length == 0 ? "0 -14 Td " : $"{shown} Tj 0 -14 Td ");
            }

            objects.Add(Bytes(
                $"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >> /Contents {objects.Count + 2} 0 R >>"));
            objects.Add(Deflated(Bytes(content.Append("ET").ToString())));
        }

        return Pdf(objects);
    }

    /// <summary>A file of these objects, which are numbered from 1; the first is the catalog, the fourth the information.</summary>
    public static byte[] Pdf(List<byte[]> objects)
    {
        var file = new MemoryStream();
        file.Write("%PDF-1.5\n"u8);
        var places = new List<long>();
        for (var i = 0; i < objects.Count; i++)
        {
            places.Add(file.Position);
            file.Write(Bytes($"{i + 1} 0 obj\n"));
            file.Write(objects[i]);
            file.Write("\nendobj\n"u8);
        }

        var table = file.Position;
        file.Write(Bytes($"xref\n0 {objects.Count + 1}\n0000000000 65535 f \n"));
        foreach (var place in places) file.Write(Bytes($"{place:0000000000} 00000 n \n"));
        file.Write(Bytes($"trailer\n<< /Size {objects.Count + 1} /Root 1 0 R /Info 4 0 R >>\nstartxref\n{table}\n%%EOF\n"));
        return file.ToArray();
    }

    public static byte[] Deflated(byte[] content)
    {
        var packed = new MemoryStream();
        using (var deflate = new ZLibStream(packed, CompressionLevel.Fastest, leaveOpen: true)) deflate.Write(content);
        return [.. Bytes($"<< /Length {packed.Length} /Filter /FlateDecode >>\nstream\n"), .. packed.ToArray(), .. "\nendstream"u8];
    }

    public static byte[] Zip(params (string Name, string Content)[] files)
    {
        var packed = new MemoryStream();
        using (var zip = new ZipArchive(packed, ZipArchiveMode.Create, leaveOpen: true))
        {
            foreach (var (name, content) in files)
            {
                using var entry = zip.CreateEntry(name).Open();
                entry.Write(Encoding.UTF8.GetBytes(content));
            }
        }

        return packed.ToArray();
    }

    /// <summary>A DOCX with this body.</summary>
    public static byte[] Docx(string body, params (string Name, string Content)[] more) => Zip(
    [
        ("[Content_Types].xml", "<Types/>"),
        ("word/document.xml", $"<?xml version=\"1.0\"?><w:document {Word}><w:body>{body}</w:body></w:document>"),
        ("word/styles.xml", $"""
            <w:styles {Word}><w:style w:styleId="berschrift1"><w:name w:val="heading 1"/></w:style>
            <w:style w:styleId="Custom"><w:name w:val="Chapter part"/><w:pPr><w:outlineLvl w:val="1"/></w:pPr></w:style></w:styles>
            """),
        ("docProps/core.xml", "<cp:coreProperties xmlns:cp=\"c\" xmlns:dc=\"d\"><dc:title>The handbook</dc:title></cp:coreProperties>"),
        .. more,
    ]);

    public static string Paragraph(string text, string? style = null) =>
        $"<w:p>{(style is null ? "" : $"<w:pPr><w:pStyle w:val=\"{style}\"/></w:pPr>")}<w:r><w:t xml:space=\"preserve\">{text}</w:t></w:r></w:p>";

    public static string Table(params string[][] rows) =>
        $"<w:tbl>{string.Concat(rows.Select(row => $"<w:tr>{string.Concat(row.Select(cell => $"<w:tc>{Paragraph(cell)}</w:tc>"))}</w:tr>"))}</w:tbl>";

    /// <summary>A PPTX; each slide has a title, a text and notes. The second slide of the archive is shown first.</summary>
    public static byte[] Pptx(params (string Title, string Text, string Notes)[] slides)
    {
        var files = new List<(string, string)>
        {
            ("ppt/presentation.xml", $"<p:presentation {Drawing} xmlns:r=\"{Office}\"><p:sldIdLst>"
                + string.Concat(Enumerable.Range(1, slides.Length).Reverse().Select(n => $"<p:sldId id=\"{255 + n}\" r:id=\"r{n}\"/>"))
                + "</p:sldIdLst></p:presentation>"),
            ("ppt/_rels/presentation.xml.rels", $"<Relationships xmlns=\"{Packages}\">"
                + string.Concat(Enumerable.Range(1, slides.Length).Select(
                    n => $"<Relationship Id=\"r{n}\" Type=\"{Office}/slide\" Target=\"slides/slide{n}.xml\"/>"))
                + "</Relationships>"),
        };
        for (var i = 0; i < slides.Length; i++)
        {
            files.Add((
                $"ppt/slides/slide{i + 1}.xml",
                $"<p:sld {Drawing}>{Shape("title", slides[i].Title)}{Shape("body", slides[i].Text)}{Shape("sldNum", "77")}</p:sld>"));
            files.Add(($"ppt/slides/_rels/slide{i + 1}.xml.rels",
                $"<Relationships xmlns=\"{Packages}\">"
                + $"<Relationship Id=\"n\" Type=\"{Office}/notesSlide\" Target=\"../notesSlides/notes{i + 1}.xml\"/></Relationships>"));
            files.Add(($"ppt/notesSlides/notes{i + 1}.xml", $"<p:notes {Drawing}>{Shape("body", slides[i].Notes)}</p:notes>"));
        }

        return Zip([.. files]);

        static string Shape(string type, string text) =>
            $"<p:sp><p:nvPr><p:ph type=\"{type}\"/></p:nvPr><p:txBody><a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:txBody></p:sp>";
    }

    /// <summary>An XLSX of one sheet. Texts are shared strings; a <see cref="DateTime"/> is a serial number with a style of dates.</summary>
    public static byte[] Xlsx(string sheet, params object[][] rows)
    {
        var shared = new List<string>();
        var data = new StringBuilder();
        for (var r = 0; r < rows.Length; r++)
        {
            data.Append(CultureInfo.InvariantCulture, $"<row r=\"{r + 1}\">");
            for (var c = 0; c < rows[r].Length; c++) data.Append(Cell($"{(char)('A' + c)}{r + 1}", rows[r][c]));
            data.Append("</row>");
        }

        return Zip(
            ("xl/workbook.xml", $"<workbook xmlns:r=\"{Office}\"><sheets><sheet name=\"{sheet}\" sheetId=\"1\" r:id=\"r1\"/></sheets></workbook>"),
            ("xl/_rels/workbook.xml.rels", $"<Relationships xmlns=\"{Packages}\">"
                + $"<Relationship Id=\"r1\" Type=\"{Office}/worksheet\" Target=\"/xl/worksheets/data.xml\"/></Relationships>"),
            ("xl/styles.xml", """
                <styleSheet><numFmts><numFmt numFmtId="170" formatCode="yyyy\-mm\-dd&quot; at &quot;hh:mm"/></numFmts>
                <cellStyleXfs><xf numFmtId="14"/></cellStyleXfs><cellXfs><xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="170"/></cellXfs></styleSheet>
                """),
            ("xl/worksheets/data.xml", $"<worksheet><sheetData>{data}</sheetData></worksheet>"),
            ("xl/sharedStrings.xml", $"<sst>{string.Concat(shared.Select(text => $"<si><r><t>{text[..1]}</t></r><r><t>{text[1..]}</t></r></si>"))}</sst>"));

        string Cell(string place, object value)
        {
            if (value is "") return "";
            if (value is DateTime day)
            {
                var serial = (day - new DateTime(1899, 12, 30)).TotalDays.ToString(CultureInfo.InvariantCulture);
                return $"<c r=\"{place}\" s=\"{(day.TimeOfDay == default ? 1 : 2)}\"><v>{serial}</v></c>";
            }

            if (value is not string text) return string.Create(CultureInfo.InvariantCulture, $"<c r=\"{place}\"><v>{value}</v></c>");
            shared.Add(text);
            return $"<c r=\"{place}\" t=\"s\"><v>{shared.Count - 1}</v></c>";
        }
    }

    /// <summary>An EPUB of pages of HTML, which lie in the archive in the other order.</summary>
    public static byte[] Epub(string title, params string[] pages)
    {
        var numbers = Enumerable.Range(0, pages.Length).ToArray();
        return Zip(
        [
            ("mimetype", "application/epub+zip"),
            ("META-INF/container.xml", "<container><rootfiles><rootfile full-path=\"OEBPS/book.opf\"/></rootfiles></container>"),
            ("OEBPS/book.opf", $"<package xmlns:dc=\"d\"><metadata><dc:title>{title}</dc:title></metadata><manifest>"
                + string.Concat(numbers.Reverse().Select(n => $"<item id=\"p{n}\" href=\"text/page%20{n}.xhtml\"/>")) + "</manifest><spine>"
                + string.Concat(numbers.Select(n => $"<itemref idref=\"p{n}\"/>")) + "</spine></package>"),
            .. numbers.Reverse().Select(n => ($"OEBPS/text/page {n}.xhtml", pages[n])),
        ]);
    }

    private static byte[] Bytes(string text) => Encoding.Latin1.GetBytes(text);
}
