using System.Text;
using Proxy.Documents;

namespace Proxy.Tests.Documents;

public sealed class TextFormatTests
{
    [Fact]
    public void Plain_text_Is_read_by_paragraphs()
    {
        var document = SampleDocuments.Read("One line\nand its second.\r\n\r\n  \nNext.\n", "notes.txt");

        Assert.Equal(["One line\nand its second.", "Next."], document.Texts());
        Assert.Null(document.Title);
    }

    [Fact]
    public void Encodings_Utf8_with_and_without_mark_utf16_and_windows_1252_Are_read()
    {
        const string text = "Grüße aus Köln – „ganz“ schön, 5 €";
        var windows = Encoding.Latin1.GetBytes("Grüße aus Köln ? ?ganz? schön, 5 ?");
        windows[15] = 0x96;
        (windows[17], windows[22]) = (0x84, 0x93);
        windows[^1] = 0x80;
        byte[][] files =
        [
            Encoding.UTF8.GetBytes(text),
            [.. Encoding.UTF8.GetPreamble(), .. Encoding.UTF8.GetBytes(text)],
            [.. Encoding.Unicode.GetPreamble(), .. Encoding.Unicode.GetBytes(text)],
            [.. Encoding.BigEndianUnicode.GetPreamble(), .. Encoding.BigEndianUnicode.GetBytes(text)],
            [.. Encoding.UTF32.GetPreamble(), .. Encoding.UTF32.GetBytes(text)],
            windows,
        ];

        Assert.All(files, file => Assert.Equal([text], SampleDocuments.Read(file, "a.txt").Texts()));
    }

    [Fact]
    public void Markdown_Headings_code_tables_and_lists_Are_found()
    {
        var document = SampleDocuments.Read(
            """
            ---
            title: "The guide"
            tags: [a, b]
            ---
            Intro with a [link](http://x.y/z), **bold** and `code_span`.
            # Setup
            See arr[0], snake_case, 2 * 3 and List<string>.

            ## Install ##
            - first
            - second
              - below

            ```sh
            # no heading
            run  --now

            end
            ```

            Name | Port
            -----|-----
            web  | 80
            db   | 5432

            Usage
            =====
            > quoted
            > words

                indented code

            # Empty
            """,
            "guide.md");

        Assert.Equal("The guide", document.Title);
        Assert.Equal(
            [
                ("", "Intro with a link, bold and code_span."),
                ("Setup", "See arr[0], snake_case, 2 * 3 and List<string>."),
                ("Setup › Install", "- first"),
                ("Setup › Install", "- second\n- below"),
                ("Setup › Install", "# no heading\nrun  --now\n\nend"),
                ("Setup › Install", "Name | Port"),
                ("Setup › Install", "web | 80"),
                ("Setup › Install", "db | 5432"),
                ("Usage", "quoted words"),
                ("Usage", "indented code"),
                ("", "Empty"),
            ],
            document.Blocks.Select(static block => (block.Heading(), block.Text)));
        Assert.Equal("Name | Port", document.Blocks[6].TableHead);
        Assert.True(document.Blocks[4].IsVerbatim && document.Blocks[6].IsVerbatim && !document.Blocks[0].IsVerbatim);
    }

    [Fact]
    public void Markdown_First_line_of_dashes_without_front_matter_Is_text()
    {
        var document = SampleDocuments.Read("---\nkey: value\n\n# Title\ntext", "a.md");

        Assert.Equal(("Title", "key: value", "text"), (document.Title, document.Blocks[0].Text, document.Blocks[1].Text));
    }

    [Fact]
    public void Html_Leaves_out_what_is_no_text_and_finds_headings_and_tables()
    {
        var document = SampleDocuments.Read(
            """
            <!DOCTYPE html><html><head><title>A &amp; B</title><style>p { color: red }</style></head><body>
            <nav><ul><li>Home</li></ul></nav><script>if (a < b) document.write("<p>no</p>");</script>
            <h1>Top</h1><p>First&nbsp;paragraph with <b>bold</b> words,<br>a second line.</p>
            <h2>Data</h2><table><tr><th>Name<th>Port</tr><tr><td>web<td>80</tr><tr><td>db<td><p>54</p><p>32</p></tr></table>
            <pre>a  =  1
              b</pre><ul><li>item<li>other</ul><!-- <p>hidden</p> --><p>a < b</p><nav><p>unclosed</p>
            """,
            "page.html");

        Assert.Equal("A & B", document.Title);
        Assert.Equal(
            [
                ("Top", "First paragraph with bold words,\na second line.", null),
                ("Top › Data", "Name | Port", null),
                ("Top › Data", "web | 80", "Name | Port"),
                ("Top › Data", "db | 54 32", "Name | Port"),
                ("Top › Data", "a  =  1\n  b", null),
                ("Top › Data", "- item", null),
                ("Top › Data", "- other", null),
                ("Top › Data", "a < b", null),
                ("Top › Data", "unclosed", (string?)null),
            ],
            document.Blocks.Select(static block => (block.Heading(), block.Text.Replace('\u00A0', ' '), block.TableHead)));
    }

    [Fact]
    public void Html_With_a_main_part_Has_only_that()
    {
        var main = SampleDocuments.Repeat("<p>All the words of the page.</p>", 30);
        var document = SampleDocuments.Read($"<html><title>T</title><div>menu</div><main><h1>Head</h1>{main}</main><div>legal</div></html>", "a.html");

        Assert.Equal(30, document.Blocks.Count);
        Assert.All(document.Blocks, static block => Assert.Equal(("Head", "All the words of the page."), (block.Heading(), block.Text)));
    }

    [Fact]
    public void Html_Table_of_layout_Gives_paragraphs()
    {
        var document = SampleDocuments.Read("<table><tr><td><h2>Head</h2><p>one</p><table><tr><td>x<td>y</table></td><td>two</td></tr></table>", "a.html");

        Assert.Equal(["one", "x | y", "two"], document.Texts());
        Assert.Equal("Head", document.Blocks[0].Heading());
    }

    [Fact]
    public void Json_Records_Are_lines_of_paths()
    {
        var array = SampleDocuments.Read(
            """[{"name":"Ada","tags":["x","y"],"at":{"city":"London","zip":null}},{"name":"Bob","list":[{"k":1},{"k":2}]}]""", "a.json");
        var whole = SampleDocuments.Read("""{"version":2,"on":true,"items":[{"id":1},{"id":2}],"more":{"a":"b"}} // end""", "b.json");

        Assert.Equal(["name: Ada\ntags: x, y\nat.city: London", "name: Bob\nlist[0].k: 1\nlist[1].k: 2"], array.Texts());
        Assert.Equal(["version: 2\non: true", "items[0].id: 1", "items[1].id: 2", "more.a: b"], whole.Texts());
    }

    [Fact]
    public void Json_lines_Each_line_is_a_record_and_a_broken_one_is_kept_as_text()
    {
        var document = SampleDocuments.Read("{\"a\":{\"b\":1},\"c\":[1,2]}\n\n{broken\n\"text\"\n{\"s\":\"\\ud800x\"}\n", "a.jsonl");

        Assert.Equal(["a.b: 1\nc: 1, 2", "{broken", "text", "s: \\ud800x"], document.Texts());
    }

    [Fact]
    public void Csv_Quotes_line_ends_and_separators_Are_understood()
    {
        var comma = SampleDocuments.Read("name,note\r\nAda,\"says \"\"hi\"\",\nthen leaves\"\r\nBob,\r\n\r\n", "a.csv");
        var semicolon = SampleDocuments.Read("name;size\nx, y;3\n", "b.csv");
        var tab = SampleDocuments.Read("1\t2\n3\t4\n", "c.tsv");

        Assert.Equal(["name | note", "Ada | says \"hi\", then leaves", "Bob"], comma.Texts());
        Assert.Equal([null, "name | note", "name | note"], comma.Blocks.Select(static block => block.TableHead));
        Assert.Equal(["name | size", "x, y | 3"], semicolon.Texts());
        Assert.Equal([("1 | 2", null), ("3 | 4", (string?)null)], tab.Blocks.Select(static block => (block.Text, block.TableHead)));
    }

    [Fact]
    public void Csv_Quotation_mark_that_is_never_closed_Costs_no_later_rows_beyond_a_limit()
    {
        var rows = SampleDocuments.Repeat("alpha,beta\n", 100_000);
        var document = SampleDocuments.Read("a,b\nx,\"open\n" + rows, "a.csv");

        Assert.True(document.Blocks.Count > 50_000);
    }

    [Fact]
    public void Code_Is_cut_at_declarations()
    {
        var body = SampleDocuments.Repeat("    x = x + 1  # a step of the work\n\n", 10);
        var document = SampleDocuments.Read($"import os\n\ndef one():\n{body}\ndef two():\n{body}", "a.py");

        Assert.Equal(2, document.Blocks.Count);
        Assert.StartsWith("import os\n\ndef one():\n    x = x + 1  # a step", document.Blocks[0].Text, StringComparison.Ordinal);
        Assert.StartsWith("def two():", document.Blocks[1].Text, StringComparison.Ordinal);
        Assert.All(document.Blocks, static block => Assert.True(block.IsVerbatim));
    }

    [Theory]
    [InlineData("page", "<!DOCTYPE html><p>hello</p>", "hello")]
    [InlineData("README", "hello", "hello")]
    [InlineData("a.unknown", "hello", "hello")]
    [InlineData("Makefile", "all:\n\tcc x.c", "all:\n\tcc x.c")]
    [InlineData("run", "#!/bin/sh\necho hello", "#!/bin/sh\necho hello")]
    public void Names_without_a_known_ending_Are_read_by_their_content(string name, string content, string text) =>
        Assert.Equal([text], SampleDocuments.Read(content, name).Texts());

    [Fact]
    public void Control_characters_and_halves_of_pairs_Are_taken_out()
    {
        var document = SampleDocuments.Read([.. "soft\u00ADhyphen \u001B[1mred"u8, .. Encoding.UTF8.GetBytes(SampleDocuments.Repeat(" word", 200))], "a.txt");

        Assert.StartsWith("softhyphen [1mred", document.Blocks[0].Text, StringComparison.Ordinal);
    }
}
