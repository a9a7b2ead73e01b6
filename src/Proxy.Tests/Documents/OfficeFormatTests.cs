namespace Proxy.Tests.Documents;

public sealed class OfficeFormatTests
{
    [Fact]
    public void Docx_Headings_tables_lists_and_notes_Are_read()
    {
        var body = SampleDocuments.Paragraph("Start &amp; end")
            + SampleDocuments.Paragraph("Chapter", "berschrift1")
            + SampleDocuments.Paragraph("Part", "Custom")
            + "<w:p><w:pPr><w:numPr/></w:pPr><w:r><w:t>an </w:t><w:t>item</w:t></w:r><w:del><w:r><w:t>gone</w:t></w:r></w:del></w:p>"
            + SampleDocuments.Table(["Name", "Port"], ["web", "80"], ["db", "5432"])
            + SampleDocuments.Table(["only a frame"])
            + SampleDocuments.Paragraph("After");
        var document = SampleDocuments.Read(
            SampleDocuments.Docx(
                body, ("word/footnotes.xml", "<w:footnotes xmlns:w=\"w\"><w:footnote><w:p><w:r><w:t>A note.</w:t></w:r></w:p></w:footnote></w:footnotes>")),
            "a.docx");

        Assert.Equal("The handbook", document.Title);
        Assert.Equal(
            [
                ("", "Start & end", null), ("Chapter › Part", "- an item", null), ("Chapter › Part", "Name | Port", null),
                ("Chapter › Part", "web | 80", "Name | Port"), ("Chapter › Part", "db | 5432", "Name | Port"), ("Chapter › Part", "only a frame", null),
                ("Chapter › Part", "After", null), ("", "A note.", (string?)null),
            ],
            document.Blocks.Select(static block => (block.Heading(), block.Text, block.TableHead)));
    }

    [Fact]
    public void Pptx_Slides_come_as_they_are_shown_with_title_page_and_notes()
    {
        var document = SampleDocuments.Read(SampleDocuments.Pptx(("Second", "b", "note b"), ("First", "a", "note a")), "a.pptx");

        Assert.Equal(
            [("First", "a", 1), ("First", "note a", 1), ("Second", "b", 2), ("Second", "note b", 2)],
            document.Blocks.Select(static block => (block.Heading(), block.Text, block.Page ?? 0)));
    }

    [Fact]
    public void Xlsx_Shared_texts_dates_and_gaps_Are_read()
    {
        var document = SampleDocuments.Read(
            SampleDocuments.Xlsx("Sales",
                ["Region", "Day", "Total"],
                ["North", new DateTime(2024, 2, 29), 12.5],
                ["South", "", 0.1 + 0.2],
                ["East", new DateTime(2024, 3, 1, 14, 30, 0), 1_000_000]),
            "a.xlsx");

        Assert.Equal(
            ["Region | Day | Total", "North | 2024-02-29 | 12.5", "South |  | 0.3", "East | 2024-03-01 14:30 | 1000000"],
            document.Texts());
        Assert.All(document.Blocks, static block => Assert.Equal("Sales", block.Heading()));
        Assert.Equal("Region | Day | Total", document.Blocks[3].TableHead);
    }

    [Fact]
    public void Epub_Pages_come_in_the_order_of_reading()
    {
        var document = SampleDocuments.Read(
            SampleDocuments.Epub("The book", "<html><title>x</title><h1>One</h1><p>first</p>", "<h1>Two</h1><p>second</p>"), "a.epub");

        Assert.Equal("The book", document.Title);
        Assert.Equal([("One", "first"), ("Two", "second")], document.Blocks.Select(static block => (block.Heading(), block.Text)));
    }

    [Theory]
    [InlineData("a.txt")]
    [InlineData("a.xlsx")]
    [InlineData("a")]
    public void Content_decides_Not_the_name(string name) =>
        Assert.Equal(["text"], SampleDocuments.Read(SampleDocuments.Docx(SampleDocuments.Paragraph("text")), name).Texts());
}
