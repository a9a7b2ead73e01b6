using System.IO.Compression;
using System.Text;
using CsCheck;
using Proxy.Documents;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Documents;

/// <summary>Valid documents with bytes changed, taken out, repeated or cut off: they are read, or refused with a message, and nothing else.</summary>
public sealed class DocumentFuzzTests
{
    private static readonly Dictionary<string, byte[]> Seeds = new()
    {
        ["a.pdf"] = SampleDocuments.Pdf("Title", ["A line of text.", "", "Another (one) here."], ["Page two has words."]),
        ["a.docx"] = SampleDocuments.Docx(SampleDocuments.Paragraph("Chapter", "berschrift1") + SampleDocuments.Table(["a", "b"], ["c", "d"])
            + SampleDocuments.Paragraph("Words &amp; more")),
        ["a.pptx"] = SampleDocuments.Pptx(("One", "text", "note"), ("Two", "more", "note")),
        ["a.xlsx"] = SampleDocuments.Xlsx("Sheet", ["Name", "Day"], ["x", new DateTime(2024, 1, 2)], ["y", 4.5]),
        ["a.epub"] = SampleDocuments.Epub("Book", "<h1>One</h1><p>text</p>", "<table><tr><th>a<th>b<tr><td>c<td>d</table>"),
        ["a.html"] = Encoding.UTF8.GetBytes(
            "<!doctype html><title>T</title><nav>menu</nav><main><h1 id='a'>H&amp;</h1><p>text <b>bold</b>"
            + "<table><tr><th>a<th>b<tr><td>c<td>d</table><pre>x\n y</pre><script>if (a<b) {}</script><!-- no --><ul><li>one<li>two</ul></main>"),
        ["a.md"] = Encoding.UTF8.GetBytes(
            "---\ntitle: T\n---\n# H\n\ntext *em* [a](b) ![c][d] `e` <br> \\* é\n\n- one\n  - two\n\n"
            + "```\ncode\n```\n\na | b\n--|--\nc | d\n\n> quote\n\nS\n===\n    code\n"),
        ["a.json"] = Encoding.UTF8.GetBytes("{\"a\":[1,2,{\"b\":\"\\u00e9\\n\"}],\"c\":{\"d\":[[true,null]],\"e\":-1.5e3}}"),
        ["a.jsonl"] = Encoding.UTF8.GetBytes("{\"a\":1}\n[\"b\",{\"c\":\"d\"}]\n\"e\"\n"),
        ["a.csv"] = Encoding.UTF8.GetBytes("name,note\n\"a\"\"b\",\"c\nd\"\né,f\n"),
        ["a.txt"] = Encoding.UTF8.GetBytes("A paragraph – with ünïcode.\n\nAnother one. 日本語。\n"),
        ["a.cs"] = Encoding.UTF8.GetBytes("class A\n{\n    void B() => C();\n\n    int d;\n}\n\nclass E;\n"),
    };

    public static TheoryData<string> Names { get; } = [.. Seeds.Keys];

    [Theory]
    [MemberData(nameof(Names))]
    public void Mutated_document_Is_read_or_refused(string name) =>
        Gen.Int.Holds(150, static seed => $"seed {seed}", seed => Check(Mutated(Seeds[name], new(seed)), name));

    /// <summary>The files inside of an archive, and the streams of a PDF, are behind a checksum or deflate: they are changed before they are packed.</summary>
    [Theory]
    [InlineData("a.docx")]
    [InlineData("a.pptx")]
    [InlineData("a.xlsx")]
    [InlineData("a.epub")]
    public void Archive_of_mutated_files_Is_read_or_refused(string name) => Gen.Int.Holds(150, static seed => $"seed {seed}", seed =>
    {
        var random = new Random(seed);
        var packed = new MemoryStream();
        using (var from = new ZipArchive(new MemoryStream(Seeds[name])))
        using (var to = new ZipArchive(packed, ZipArchiveMode.Create, leaveOpen: true))
        {
            foreach (var entry in from.Entries)
            {
                if (random.Next(20) == 0) continue;
                var content = new byte[entry.Length];
                using (var stream = entry.Open()) stream.ReadExactly(content);
                using var output = to.CreateEntry(entry.FullName).Open();
                output.Write(random.Next(2) == 0 ? Mutated(content, random) : content);
            }
        }

        Check(packed.ToArray(), name);
    });

    [Fact]
    public void Pdf_of_mutated_objects_Is_read_or_refused() => Gen.Int.Holds(200, static seed => $"seed {seed}", static seed =>
    {
        var random = new Random(seed);
        var objects = PdfTests.Objects("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>", "(Some words) Tj 0 -14 Td [(in) -250 (an array)] TJ (of)");
        for (var i = 0; i < objects.Count; i++)
        {
            if (random.Next(3) == 0) objects[i] = Mutated(objects[i], random);
        }

        if (random.Next(2) == 0)
        {
            var content =
                "q 1 0 0 1 50 700 cm BT /F1 12 Tf 14 TL (words) ' (more) Tj T* [(x) 5 <41>] TJ ET Q /P <</MCID 0>> BDC EMC BI /W 1 /H 1 ID x EI"u8.ToArray();
            objects[5] = SampleDocuments.Deflated(Mutated(content, random));
        }

        Check(SampleDocuments.Pdf(objects), "a.pdf");
    });

    private static void Check(byte[] content, string name)
    {
        try
        {
            var document = SampleDocuments.Read(content, name);
            Assert.NotEmpty(document.Blocks);
            Assert.All(document.Blocks, static block => Assert.Equal(block.Text.Trim(), block.Text));
            Assert.DoesNotContain(document.Blocks, static block => block.Text.Length == 0 || block.Text.Contains('\0'));
        }
        catch (DocumentException refused)
        {
            Assert.NotEmpty(refused.Message);
            Assert.DoesNotContain("no further", refused.Message, StringComparison.Ordinal);
        }
    }

    private static byte[] Mutated(byte[] content, Random random)
    {
        var changed = content.ToList();
        for (var changes = random.Next(1, 8); changes > 0 && changed.Count > 0; changes--)
        {
            var at = random.Next(changed.Count);
            var length = Math.Min(random.Next(1, 20), changed.Count - at);
            switch (random.Next(6))
            {
                case 0: changed[at] = (byte)random.Next(256); break;
                case 1: changed[at] ^= (byte)(1 << random.Next(8)); break;
                case 2: changed.RemoveRange(at, length); break;
                case 3: changed.InsertRange(at, changed.GetRange(at, length)); break;
                case 4: changed.InsertRange(random.Next(changed.Count), changed.GetRange(at, length)); break;
                default:
                    if (random.Next(5) == 0) changed.RemoveRange(at, changed.Count - at);
                    else if (changed[at] is >= (byte)'0' and <= (byte)'9') changed[at] = (byte)random.Next('0', '9' + 1);
                    break;
            }
        }

        return [.. changed];
    }
}
