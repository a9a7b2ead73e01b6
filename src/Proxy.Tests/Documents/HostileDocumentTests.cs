using System.Text;
using Proxy.Documents;

namespace Proxy.Tests.Documents;

/// <summary>Files that are made to harm: each is read or refused, within bounds.</summary>
public sealed class HostileDocumentTests
{
    private const int Deep = 100_000;

    public static TheoryData<string, string> DeepTexts { get; } = new()
    {
        { "a.html", SampleDocuments.Repeat("<div>", Deep) + "words" + SampleDocuments.Repeat("</div>", Deep) },
        { "b.html", SampleDocuments.Repeat("<table><tr><td>", Deep) + "words" },
        { "c.html", SampleDocuments.Repeat("<nav>", Deep) + "words</nav>" },
        { "d.html", SampleDocuments.Repeat("<svg>", Deep) + "words" },
        { "e.html", SampleDocuments.Repeat("<", Deep) + " words" },
        { "f.html", SampleDocuments.Repeat("<a b='", Deep) + "words'>words" },
        { "g.html", SampleDocuments.Repeat("<title>", Deep) + "words" },
        { "h.html", SampleDocuments.Repeat("<!-", Deep) + ">words" },
        { "i.html", SampleDocuments.Repeat("<h1>words", Deep) },
        { "a.md", SampleDocuments.Repeat(">", Deep) + "words" },
        { "b.md", SampleDocuments.Repeat("[", Deep) + "words" + SampleDocuments.Repeat("](x)", Deep) },
        { "c.md", SampleDocuments.Repeat("- ", Deep) + "words" },
        { "d.md", SampleDocuments.Repeat("*a ", Deep) + "words" },
        { "e.md", SampleDocuments.Repeat("![", Deep) + "words" },
        { "f.md", string.Join(' ', Enumerable.Range(1, 2000).Select(static n => new string('`', n))) + " words" },
        { "g.md", SampleDocuments.Repeat("<a ", Deep) + "words" },
        { "h.md", SampleDocuments.Repeat("# words\n", Deep) },
        { "i.md", SampleDocuments.Repeat("words | words\n", Deep) },
        { "j.md", SampleDocuments.Repeat("[a]: words b\n", Deep) },
        { "k.md", SampleDocuments.Repeat("  \twords\n", Deep) },
        { "l.md", "---\n" + SampleDocuments.Repeat("```\nwords\n", Deep) },
        { "a.csv", SampleDocuments.Repeat("\"words\n", Deep) },
        { "a.jsonl", SampleDocuments.Repeat("[", Deep) + "\n\"words\"" },
        { "a.xml", "<!DOCTYPE a [<!ENTITY b \"words\"><!ENTITY c \"&b;&b;&b;\"><!ENTITY d SYSTEM \"file:///etc/passwd\">]>\n<a>&c;&d;</a>" },
    };

    [Theory]
    [MemberData(nameof(DeepTexts), DisableDiscoveryEnumeration = true)]
    public void Nesting_of_any_depth_Is_read(string name, string content)
    {
        var document = SampleDocuments.Read(content, name);

        Assert.Contains(document.Blocks, static block => block.Text.Contains("words", StringComparison.Ordinal));
    }

    [Fact]
    public void Json_nested_too_deep_Is_refused() =>
        Assert.Contains(
            "nested",
            Invalid(Encoding.UTF8.GetBytes(SampleDocuments.Repeat("[", Deep) + SampleDocuments.Repeat("]", Deep)), "a.json"), StringComparison.Ordinal);

    [Fact]
    public void Docx_nested_too_deep_Is_refused()
    {
        var body = SampleDocuments.Repeat("<w:tbl><w:tr><w:tc>", Deep) + SampleDocuments.Repeat("</w:tc></w:tr></w:tbl>", Deep);

        Assert.Contains("nested", Invalid(SampleDocuments.Docx(body), "a.docx"), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("word/document.xml")]
    [InlineData("word/styles.xml")]
    public void Docx_with_a_dtd_Is_refused_and_nothing_is_expanded(string part)
    {
        var files = new[] { "word/document.xml", "word/styles.xml" }.Select(name => (name, name == part
            ? "<!DOCTYPE a [<!ENTITY b \"words\"><!ENTITY c SYSTEM \"file:///etc/passwd\">]><a><t>&b;&c;</t></a>" : "<a/>")).ToArray();

        Assert.Contains("DTD", Invalid(SampleDocuments.Zip(files), "a.docx"), StringComparison.Ordinal);
    }

    [Fact]
    public void Docx_that_unpacks_to_far_more_than_its_size_Is_refused()
    {
        var bomb = SampleDocuments.Docx(SampleDocuments.Paragraph(new string('a', 64 << 20)));

        Assert.True(bomb.Length < 1 << 20);
        Assert.Contains("unpacks to more than", Invalid(bomb, "a.docx"), StringComparison.Ordinal);
    }

    [Fact]
    public void Archive_of_too_many_files_Is_refused() =>
        Assert.Contains("files", Invalid(
            SampleDocuments.Zip(
                [("word/document.xml", "<a/>"), .. Enumerable.Range(0, DocumentLimits.ArchiveEntries).Select(static n => ($"x/{n}", ""))]), "a.docx"),
            StringComparison.Ordinal);

    [Fact]
    public void Archive_with_paths_that_lead_outside_Is_only_read()
    {
        var document = SampleDocuments.Read(
            SampleDocuments.Docx(
                SampleDocuments.Paragraph("text"), ("../../../../tmp/outside", "x"), ("/etc/outside", "x"), ("word/../word/styles.xml", "x")), "../../a.docx");

        Assert.Equal(["text"], document.Texts());
        Assert.False(File.Exists("/tmp/outside"));
    }

    [Fact]
    public void Pdf_with_a_stream_that_unpacks_to_too_much_Is_refused()
    {
        var objects = PdfTests.Objects("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>", "(x)");
        objects[5] = SampleDocuments.Deflated(new byte[DocumentLimits.PdfStreamBytes + 1]);

        Assert.Contains("unpacks to more than", Invalid(SampleDocuments.Pdf(objects), "a.pdf"), StringComparison.Ordinal);
    }

    [Fact]
    public void Pdf_whose_objects_refer_to_themselves_Is_refused()
    {
        var objects = PdfTests.Objects("3 0 R", "(x)");
        objects[1] = "<< /Type /Pages /Count 1 /Kids [2 0 R 2 0 R] /Parent 2 0 R >>"u8.ToArray();

        Assert.NotEmpty(Invalid(SampleDocuments.Pdf(objects), "a.pdf"));
    }

    [Theory]
    [InlineData("[")]
    [InlineData("<<")]
    [InlineData("<</A ")]
    [InlineData("(")]
    [InlineData("{")]
    [InlineData("q ")]
    [InlineData("BT ")]
    [InlineData("/F1 Do ")]
    public void Pdf_nested_too_deep_Is_read_or_refused(string nested)
    {
        var objects = PdfTests.Objects("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>", "(x)");
        objects[5] = SampleDocuments.Deflated(Encoding.Latin1.GetBytes(SampleDocuments.Repeat(nested, Deep)));
        var inObject = PdfTests.Objects("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>", "(words)");
        inObject[3] = Encoding.Latin1.GetBytes(SampleDocuments.Repeat(nested, Deep));

        Assert.Throws<DocumentException>(() => SampleDocuments.Read(SampleDocuments.Pdf(objects), "a.pdf"));
        try
        {
            SampleDocuments.Read(SampleDocuments.Pdf(inObject), "a.pdf");
        }
        catch (DocumentException)
        {
            // Refused: as good as read.
        }
    }

    [Theory]
    [InlineData("a.txt")]
    [InlineData("a.md")]
    [InlineData("a.csv")]
    [InlineData("a.json")]
    [InlineData("a.html")]
    [InlineData("a.cs")]
    public void Binary_data_with_the_name_of_a_text_Is_refused(string name)
    {
        var noise = new byte[100_000];
        new Random(14).NextBytes(noise);
        noise[0] = (byte)'a';

        Assert.Contains("binary", Invalid(noise, name), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("a.pdf", "text", "not of that format")]
    [InlineData("a.docx", "<html>text</html>", "not of that format")]
    [InlineData("a.pdf", "%PDF-1.7 and nothing more", "damaged")]
    [InlineData("a.docx", "PK\u0003\u0004 and nothing more", "damaged")]
    [InlineData("a.json", "{\"a\": ", "not valid JSON")]
    public void Content_that_is_not_what_the_name_says_Is_refused(string name, string content, string message) =>
        Assert.Contains(message, Invalid(Encoding.Latin1.GetBytes(content), name), StringComparison.Ordinal);

    [Theory]
    [InlineData("", nameof(DocumentFault.Empty), "empty")]
    [InlineData(" \n\t\r\n", nameof(DocumentFault.Empty), "no text")]
    [InlineData("\u0089PNG\r\n\u001A\n", nameof(DocumentFault.Unsupported), "picture")]
    [InlineData("{\\rtf1 text}", nameof(DocumentFault.Unsupported), "RTF")]
    [InlineData("\u00D0\u00CF\u0011\u00E0\u00A1\u00B1\u001A\u00E1", nameof(DocumentFault.Unsupported), "save it as .docx")]
    [InlineData("\u0001\0\u0002\0", nameof(DocumentFault.Unsupported), "binary")]
    public void Files_without_readable_text_Say_why(string content, string fault, string message)
    {
        var refused = SampleDocuments.Refused(Encoding.Latin1.GetBytes(content), "a.x");

        Assert.Equal(fault, refused.Fault.ToString());
        Assert.Contains(message, refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Archive_of_another_kind_Is_unsupported() =>
        Assert.Equal(DocumentFault.Unsupported, SampleDocuments.Refused(SampleDocuments.Zip(("a.txt", "text")), "a.zip").Fault);

    [Theory]
    [InlineData("a.txt")]
    [InlineData("a.csv")]
    [InlineData("a.md")]
    [InlineData("a.cs")]
    [InlineData("a.jsonl")]
    public void Line_of_40_MB_Is_cut_into_blocks(string name)
    {
        var line = SampleDocuments.Repeat("some words of a line ", 2_000_000);
        var document = SampleDocuments.Read(line, name);

        Assert.All(document.Blocks, static block => Assert.InRange(block.Text.Length, 1, DocumentLimits.BlockLength));
        Assert.Equal(10_000_000, document.Blocks.Sum(static block => block.Text.AsSpan().Count(' ') + 1 - block.Text.AsSpan().Count('|')));
    }

    [Fact]
    public void Cancellation_Ends_the_read()
    {
        using var source = new CancellationTokenSource();
        using var file = new SlowStream(source);

        var thrown = Assert.ThrowsAny<OperationCanceledException>(() => DocumentReader.Read(file, "a.txt", source.Token));
        Assert.Equal(source.Token, thrown.CancellationToken);
    }

    [Fact]
    public void Reader_that_gets_no_further_Is_given_up_on()
    {
        using var held = new ManualResetEventSlim();

        var refused = Assert.Throws<DocumentException>(() => ReadGuard.Run<object>(
            _ =>
            {
                held.Wait();
                return held;
            },
            TimeSpan.FromMilliseconds(1), TimeSpan.FromMinutes(1), CancellationToken.None));

        held.Set();
        Assert.Contains("no further", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Reader_that_gets_further_for_too_long_Is_given_up_on()
    {
        var refused = Assert.Throws<DocumentException>(() => ReadGuard.Run<object>(
            static guard =>
            {
                while (true)
                {
                    guard.Step();
                    Thread.Yield();
                }
            },
            TimeSpan.FromMinutes(1), TimeSpan.FromMilliseconds(1), CancellationToken.None));

        Assert.Contains("longer than", refused.Message, StringComparison.Ordinal);
    }

    private static string Invalid(byte[] content, string name)
    {
        var refused = SampleDocuments.Refused(content, name);
        Assert.Equal(DocumentFault.Invalid, refused.Fault);
        return refused.Message;
    }

    /// <summary>An endless file that is cancelled while it is read.</summary>
    private sealed class SlowStream(CancellationTokenSource source) : MemoryStream(Encoding.UTF8.GetBytes("text"), writable: false)
    {
        private int reads;

        public override long Length => long.MaxValue;

        public override int Read(Span<byte> buffer)
        {
            if (++reads == 5) source.Cancel();
            buffer.Fill((byte)'a');
            return buffer.Length;
        }
    }
}
