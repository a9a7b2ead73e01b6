using System.Text;
using Proxy.Documents;

namespace Proxy.Tests.Documents;

public sealed class PdfTests
{
    [Fact]
    public void Pages_paragraphs_and_divided_words_Are_read()
    {
        var document = SampleDocuments.Read(
            SampleDocuments.Pdf("The paper", ["A paragraph with a divi-", "ded word.", "", "", "The second one."], ["On page two."]), "a.pdf");

        Assert.Equal("The paper", document.Title);
        Assert.Equal(
            [("A paragraph with a divided word.", 1), ("The second one.", 1), ("On page two.", 2)],
            document.Blocks.Select(static block => (block.Text, block.Page ?? 0)));
    }

    [Fact]
    public void Named_txt_Is_read_as_what_it_is() =>
        Assert.Equal(["Hello there."], SampleDocuments.Read(SampleDocuments.Pdf("x", ["Hello there."]), "a.txt").Texts());

    [Fact]
    public void Headers_and_footers_that_repeat_Are_left_out()
    {
        var pages = Enumerable.Range(1, 6).Select(
            n => new[] { "Annual report", "", "", $"Words of page {(char)('a' + n)}.", "", "", $"Page {n} of 6" }).ToArray();
        var document = SampleDocuments.Read(SampleDocuments.Pdf("x", pages), "a.pdf");

        Assert.Equal(
            ["Words of page b.", "Words of page c.", "Words of page d.", "Words of page e.", "Words of page f.", "Words of page g."], document.Texts());
    }

    [Fact]
    public void Ligatures_Are_letters()
    {
        const string font = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding << /Type /Encoding /Differences [1 /fi /fl] >> >>";
        var document = SampleDocuments.Read(SampleDocuments.Pdf("x", font, ["The \\001le has a \\002aw in it."]), "a.pdf");

        Assert.Equal(["The file has a flaw in it."], document.Texts());
    }

    [Fact]
    public void Names_that_are_not_utf8_Do_not_matter()
    {
        const string font = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Caf#E9 /#81#9F >>";

        Assert.Equal(["Hello there."], SampleDocuments.Read(SampleDocuments.Pdf("x", font, ["Hello there."]), "a.pdf").Texts());
    }

    [Fact]
    public void Without_text_Is_refused_as_scanned()
    {
        var refused = SampleDocuments.Refused(SampleDocuments.Pdf("x", [""], [""]), "scan.pdf");

        Assert.Equal(DocumentFault.Empty, refused.Fault);
        Assert.Contains("OCR", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Text_that_cannot_be_decoded_Is_refused_and_not_read_as_noise()
    {
        // The font maps its glyphs to characters of private use.
        var objects = Objects(
            "<< /Type /Font /Subtype /Type1 /BaseFont /A /FirstChar 32 /LastChar 33 /Widths [500 500] /FontDescriptor 7 0 R /ToUnicode 8 0 R >>",
            "(This text is not readable at all)");
        objects.Add(Descriptor);
        objects.Add(SampleDocuments.Deflated(
            Encoding.Latin1.GetBytes(
            "/CIDInit /ProcSet findresource begin\nbegincmap\n1 begincodespacerange\n<00> <FF>\nendcodespacerange\n"
            + "1 beginbfrange\n<20> <7E> <E020>\nendbfrange\nendcmap\nend")));

        Assert.Contains("decoded", Invalid(SampleDocuments.Pdf(objects)), StringComparison.Ordinal);
    }

    [Fact]
    public void Text_whose_font_needs_a_character_map_that_is_not_there_Is_refused()
    {
        var objects = Objects("<< /Type /Font /Subtype /Type0 /BaseFont /STSong-Light /Encoding /None-EUC-H /DescendantFonts [8 0 R] >>", "<D6D0CEC4>");
        objects.Add(Descriptor);
        objects.Add(Encoding.Latin1.GetBytes(
            "<< /Type /Font /Subtype /CIDFontType0 /BaseFont /A /FontDescriptor 7 0 R"
            + " /CIDSystemInfo << /Registry (Adobe) /Ordering (GB1) /Supplement 2 >> >>"));

        Assert.Contains("character maps", Invalid(SampleDocuments.Pdf(objects)), StringComparison.Ordinal);
    }

    [Fact]
    public void Encrypted_Is_refused_as_such()
    {
        var plain = Encoding.Latin1.GetString(SampleDocuments.Pdf("x", ["Secret words."]));
        var key = SampleDocuments.Repeat("41", 32);
        var locked = plain.Replace(
            "/Root 1 0 R", $"/Encrypt << /Filter /Standard /V 1 /R 2 /O <{key}> /U <{key}> /P -4 >> /ID [<00><00>] /Root 1 0 R", StringComparison.Ordinal);

        var refused = SampleDocuments.Refused(Encoding.Latin1.GetBytes(locked), "a.pdf");

        Assert.Equal(DocumentFault.Invalid, refused.Fault);
        Assert.Contains("password", refused.Message, StringComparison.Ordinal);
    }

    private static byte[] Descriptor => Encoding.Latin1.GetBytes(
        "<< /Type /FontDescriptor /FontName /A /Flags 4 /FontBBox [0 0 1000 1000] /ItalicAngle 0 /Ascent 800 /Descent -200 /CapHeight 700 /StemV 80 >>");

    private static string Invalid(byte[] pdf)
    {
        var refused = SampleDocuments.Refused(pdf, "a.pdf");
        Assert.Equal(DocumentFault.Invalid, refused.Fault);
        return refused.Message;
    }

    /// <summary>A page whose text is drawn by this operand.</summary>
    internal static List<byte[]> Objects(string font, string operand) =>
    [
        "<< /Type /Catalog /Pages 2 0 R >>"u8.ToArray(), "<< /Type /Pages /Count 1 /Kids [5 0 R] >>"u8.ToArray(),
        Encoding.Latin1.GetBytes(font), "<< >>"u8.ToArray(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >> /Contents 6 0 R >>"u8.ToArray(),
        SampleDocuments.Deflated(Encoding.Latin1.GetBytes($"BT /F1 12 Tf 72 740 Td {operand} Tj ET")),
    ];
}
