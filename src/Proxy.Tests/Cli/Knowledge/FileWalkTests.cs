using System.Text;
using Proxy.Cli.Knowledge;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Cli.Knowledge;

public sealed class FileWalkTests : IDisposable
{
    private readonly string folder = FileFacts.RealPath(Directory.CreateTempSubdirectory("proxy-walk-").FullName)!;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public void Hidden_files_Are_left_out_unless_they_are_asked_for()
    {
        Write("a.md", "text");
        Write(".b.md", "text");
        Write(".c/d.md", "text");
        Write(".git/config", "text");

        Assert.Equal(["a.md"], Taken(new(hidden: false, ignored: false)));
        Assert.Equal([".b.md", "a.md", ".c/d.md"], Taken(new(hidden: true, ignored: false)));
        Assert.Equal([".b.md"], new FileWalk(false, false).Find(Path.Combine(folder, ".b.md")).Select(file => Path.GetFileName(file.Path)));
    }

    [Fact]
    public void Links_Are_not_followed_out_of_the_tree_nor_round_in_it()
    {
        var outside = Directory.CreateTempSubdirectory("proxy-outside-").FullName;
        try
        {
            File.WriteAllText(Path.Combine(outside, "secret.md"), "text");
            Write("a.md", "text");
            File.CreateSymbolicLink(Path.Combine(folder, "file.md"), Path.Combine(outside, "secret.md"));
            Directory.CreateSymbolicLink(Path.Combine(folder, "folder"), outside);
            Directory.CreateSymbolicLink(Path.Combine(folder, "round"), folder);

            Assert.Equal(["a.md"], Taken(new(false, false)));
            Assert.All(Skipped(), static file => Assert.Equal("symbolic link", file.Reason));
            Assert.Equal(["file.md", "folder", "round"], Skipped().Select(file => Path.GetFileName(file.Path)));
            // A link that was named is what it leads to.
            Assert.Equal([FileFacts.RealPath(Path.Combine(outside, "secret.md"))!],
                new FileWalk(false, false).Find(Path.Combine(folder, "folder")).Select(file => file.Path));
        }
        finally
        {
            Directory.Delete(outside, recursive: true);
        }
    }

    [Fact]
    public async Task What_is_no_document_Is_skipped_with_a_reason_and_never_opened()
    {
        Write("text", "no extension");
        File.WriteAllBytes(Path.Combine(folder, "zero"), [65, 0, 66]);
        File.WriteAllBytes(Path.Combine(folder, "utf16"), [0xFF, 0xFE, .. Encoding.Unicode.GetBytes("text")]);
        File.WriteAllBytes(Path.Combine(folder, "wrong.txt"), [65, 0, 66]);
        Write("photo.png", "x");
        Write("empty.md", "");
        Write("~$open.docx", "x");
        await Command.RunAsync("mkfifo", Path.Combine(folder, "pipe"));

        Assert.Equal(["text", "utf16", "wrong.txt"], Taken(new(false, false)));
        Assert.Equal(["empty.md: empty", "photo.png: of a format that is not read", "pipe: not a file but a pipe, a socket or a device", "zero: binary",
            "~$open.docx: temporary"], Skipped().Select(static file => $"{Path.GetFileName(file.Path)}: {file.Reason}"));
        // What was named itself is not skipped in silence.
        Assert.Equal(SkipKind.Failed, Assert.Single(new FileWalk(false, false).Find(Path.Combine(folder, "zero"))).Skip);
    }

    [Fact]
    public void What_does_not_exist_Is_a_failure()
    {
        var found = Assert.Single(new FileWalk(false, false).Find(Path.Combine(folder, "nothing")));

        Assert.Equal((SkipKind.Failed, "does not exist, or may not be read"), (found.Skip, found.Reason));
    }

    [Fact]
    public async Task Names_that_are_not_utf8_Are_a_failure_of_that_file()
    {
        Write("good.md", "text");
        await Command.RunAsync("bash", "-c", $"printf text > '{folder}'/$'bad\\xff.md'");

        var found = new FileWalk(false, false).Find(folder).ToList();
        await Command.RunAsync("bash", "-c", $"rm '{folder}'/bad*"); // .NET cannot

        Assert.Equal(["its name is not UTF-8", null], found.Select(static file => file.Reason));
    }

    [Fact]
    public void Kinds_sizes_and_times_Are_those_of_the_system()
    {
        Write("a.md", "12345");
        var path = Path.Combine(folder, "a.md");

        var facts = FileFacts.Of(path)!.Value;

        Assert.Equal((FileKind.File, 5L), (facts.Kind, facts.Bytes));
        Assert.Equal((File.GetLastWriteTimeUtc(path) - DateTime.UnixEpoch).Ticks, facts.Modified / 100);
        Assert.Equal(FileKind.Folder, FileFacts.Of(folder)!.Value.Kind);
        Assert.Equal(FileKind.Other, FileFacts.Of("/dev/null")!.Value.Kind);
        Assert.Null(FileFacts.Of(path + "x", out var isGone));
        Assert.True(isGone);
    }

    [Theory]
    [InlineData("plain.md", "plain.md")]
    [InlineData("héllo 日本.md", "héllo 日本.md")]
    [InlineData("a\u001b[31mb\n", "a\\x1b[31mb\\x0a")]
    [InlineData("a\u202egnp.exe", "a\\u202egnp.exe")]
    [InlineData("a\u009bb\u2028", "a\\x9bb\\u2028")]
    public void Names_Cannot_control_the_terminal(string name, string shown) => Assert.Equal(shown, SafeText.Of(name));

    [Fact]
    public void Snippet_Is_the_part_with_the_words_that_were_asked_for()
    {
        var text = string.Concat(Enumerable.Repeat("Nothing of interest stands here. ", 40)) + "The \u001b[2Jdrain\ttime is set\nin the file. "
            + string.Concat(Enumerable.Repeat("More of the same follows. ", 40));

        var lines = Snippet.Lines(text, "how do I set the drain time?").ToList();

        Assert.Contains("drain time is set in the file", string.Join(' ', lines), StringComparison.Ordinal);
        Assert.DoesNotContain('\u001b', string.Concat(lines));
        Assert.InRange(lines.Count, 2, 4);
        Assert.All(lines, static line => Assert.InRange(line.Length, 1, 110));
        Assert.Equal(["short"], Snippet.Lines("short", "x"));
    }

    private List<string> Taken(FileWalk walk) =>
        [.. walk.Find(folder).Where(static file => file.Reason is null).Select(file => Path.GetRelativePath(folder, file.Path))];

    private List<FoundFile> Skipped() =>
        [.. new FileWalk(false, false).Find(folder).Where(static file => file is { Reason: not null, Skip: SkipKind.Skipped })];

    private void Write(string path, string text)
    {
        var whole = Path.Combine(folder, path);
        Directory.CreateDirectory(Path.GetDirectoryName(whole)!);
        File.WriteAllText(whole, text);
    }
}
