using Proxy.Cli.Knowledge;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Cli.Knowledge;

/// <summary>The rules of .gitignore, each case also put to the machine's own git where there is one.</summary>
public sealed class GitIgnoreTests : IDisposable
{
    private readonly string folder = FileFacts.RealPath(Directory.CreateTempSubdirectory("proxy-ignore-").FullName)!;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Theory]
    [InlineData("*.log", "a.log", true)]
    [InlineData("*.log", "deep/er/a.log", true)]
    [InlineData("*.log", "a.logs", false)]
    [InlineData("/a.txt", "a.txt", true)]
    [InlineData("/a.txt", "b/a.txt", false)]
    [InlineData("b/a.txt", "b/a.txt", true)]
    [InlineData("b/a.txt", "c/b/a.txt", false)]
    [InlineData("build/", "build/x.txt", true)]
    [InlineData("build/", "c/build/x.txt", true)]
    [InlineData("build/", "build", false)]
    [InlineData("**/tmp", "x/y/tmp", true)]
    [InlineData("**/tmp", "tmp", true)]
    [InlineData("a/**/z", "a/z", true)]
    [InlineData("a/**/z", "a/b/c/z", true)]
    [InlineData("a/**/z", "b/a/z", false)]
    [InlineData("a/**", "a/x/y", true)]
    [InlineData("a/**", "b/a/x", false)]
    [InlineData("a/*/z", "a/b/z", true)]
    [InlineData("a/*/z", "a/b/c/z", false)]
    [InlineData("a**z", "abcz", true)]
    [InlineData("x/a**z", "x/ab/cz", false)]
    [InlineData("?.md", "a.md", true)]
    [InlineData("?.md", "ab.md", false)]
    [InlineData("[ab].md", "a.md", true)]
    [InlineData("[!ab].md", "a.md", false)]
    [InlineData("[^ab].md", "c.md", true)]
    [InlineData("[a-c]x", "bx", true)]
    [InlineData("[]-]x", "]x", true)]
    [InlineData("[a\\]]x", "]x", true)]
    [InlineData("[[:digit:]]x", "7x", true)]
    [InlineData("[[:digit:]]x", "ax", false)]
    [InlineData("[[:wrong:]]x", ":x", false)]
    [InlineData("[ab", "b", false)]
    [InlineData("a[/]b", "a/b", false)]
    [InlineData("# c", "# c", false)]
    [InlineData("\\# c", "# c", true)]
    [InlineData("\\!important", "!important", true)]
    [InlineData("trail  ", "trail", true)]
    [InlineData("trail\\ ", "trail ", true)]
    [InlineData("star\\*", "star*", true)]
    [InlineData("star\\*", "stars", false)]
    [InlineData("*.txt\n!keep.txt", "keep.txt", false)]
    [InlineData("*.txt\n!keep.txt\nkeep.*", "keep.txt", true)]
    [InlineData("dir/\n!dir/keep.txt", "dir/keep.txt", true)]
    [InlineData("dir/*\n!dir/keep.txt", "dir/keep.txt", false)]
    [InlineData("foo\r\nbar\r", "bar", true)]
    [InlineData("a*b*c*d*e*", "aXbXcXdXe", true)]
    [InlineData("a*b*c*d*f", "aXbXcXdXe", false)]
    [InlineData("*/foo", "a/foo", true)]
    [InlineData("*/foo", "foo", false)]
    [InlineData("/*\n!/docs", "docs/x", false)]
    [InlineData("/*\n!/docs", "src/x", true)]
    public async Task A_pattern_Decides_as_in_git(string patterns, string path, bool isLeftOut)
    {
        Write(".gitignore", patterns);
        Write(path, "text");
        Directory.CreateDirectory(Path.Combine(folder, ".git"));

        var found = Names(new FileWalk(hidden: false, ignored: false).Find(folder));

        Assert.Equal(!isLeftOut, found.Contains(path));
        if (await GitAsync("init", "-q", folder) is 0)
            Assert.Equal(isLeftOut ? 0 : 1, await GitAsync("-C", folder, "-c", "core.excludesFile=/dev/null", "check-ignore", "-q", "--no-index", path));
    }

    [Fact]
    public async Task Rules_of_inner_folders_and_of_the_repository_Are_combined_as_in_git()
    {
        Write(".gitignore", "*.tmp\n/out\nvendor/\n");
        Write("sub/.gitignore", "!keep.tmp\nlocal.txt\n/only-here.md\n");
        Write("sub/deeper/.gitignore", "*\n!*.md\n");
        foreach (var path in new[]
        {
            "a.txt", "a.tmp", "out/x.txt", "sub/out/x.txt", "vendor/v.txt", "sub/vendor/v.txt", "sub/keep.tmp", "sub/other.tmp", "sub/local.txt", "local.txt",
            "sub/only-here.md", "sub/deeper/only-here.md", "sub/deeper/x.txt", "sub/deeper/y.md", "sub/secret.txt", "private/secret.txt",
        })
            Write(path, "text");
        Directory.CreateDirectory(Path.Combine(folder, ".git"));
        var hasGit = await GitAsync("init", "-q", folder) is 0;
        Write(".git/info/exclude", "secret.txt\n!local.txt\n");

        var found = Names(new FileWalk(hidden: false, ignored: false).Find(folder));

        Assert.Equal(
            ["a.txt", "local.txt", "sub/deeper/only-here.md", "sub/deeper/y.md", "sub/keep.tmp", "sub/out/x.txt"], found.Order(StringComparer.Ordinal));
        if (!hasGit) return;
        var listed = await Command.RunAsync("git", "-C", folder, "-c", "core.excludesFile=/dev/null", "ls-files", "--others", "--exclude-standard");
        Assert.Equal(listed.Split('\n').Where(static path => !path.Contains(".gitignore", StringComparison.Ordinal)).Order(StringComparer.Ordinal),
            found.Order(StringComparer.Ordinal));
    }

    [Fact]
    public void A_folder_within_a_repository_Is_subject_to_the_rules_above_it()
    {
        Write(".gitignore", "*.tmp\n/docs/drafts\n");
        Directory.CreateDirectory(Path.Combine(folder, ".git"));
        Write("docs/a.md", "text");
        Write("docs/a.tmp", "text");
        Write("docs/drafts/b.md", "text");

        Assert.Equal(["docs/a.md"], Names(new FileWalk(hidden: false, ignored: false).Find(Path.Combine(folder, "docs"))));
        Assert.Equal(["docs/drafts/b.md"], Names(new FileWalk(hidden: false, ignored: false).Find(Path.Combine(folder, "docs/drafts"))));
        Assert.Equal(3, Names(new FileWalk(hidden: false, ignored: true).Find(Path.Combine(folder, "docs"))).Count);
    }

    [Fact]
    public void A_repository_within_another_Has_rules_of_its_own()
    {
        Write(".gitignore", "*.txt\n");
        Directory.CreateDirectory(Path.Combine(folder, ".git"));
        Directory.CreateDirectory(Path.Combine(folder, "inner/.git"));
        Write("inner/a.txt", "text");
        Write("a.txt", "text");

        Assert.Equal(["inner/a.txt"], Names(new FileWalk(hidden: false, ignored: false).Find(folder)));
    }

    [Fact]
    public void A_work_tree_Uses_the_exclude_file_of_its_repository()
    {
        Write("repository/info/exclude", "left-out.txt\n");
        Write("repository/worktrees/w/commondir", "../..\n");
        Write("w/.git", $"gitdir: {folder}/repository/worktrees/w\n");
        Write("w/left-out.txt", "text");
        Write("w/taken.txt", "text");

        Assert.Equal(["w/taken.txt"], Names(new FileWalk(hidden: false, ignored: false).Find(Path.Combine(folder, "w"))));
    }

    private List<string> Names(IEnumerable<FoundFile> found) =>
        [.. found.Where(static file => file.Reason is null).Select(file => Path.GetRelativePath(folder, file.Path))];

    private void Write(string path, string text)
    {
        var whole = Path.Combine(folder, path);
        Directory.CreateDirectory(Path.GetDirectoryName(whole)!);
        File.WriteAllText(whole, text);
    }

    /// <summary>The exit code of git; -1 if the machine has none.</summary>
    private static async Task<int> GitAsync(params string[] arguments)
    {
        try
        {
            return (await Command.TryAsync("git", arguments)).ExitCode;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return -1;
        }
    }
}
