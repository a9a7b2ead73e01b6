using System.Text.RegularExpressions;

namespace Proxy.Tests.Rules;

/// <summary>Everything that docs/ARCHITECTURE.md names must exist: every folder, file and type of its tree, and every path of its walks.</summary>
public sealed partial class ArchitectureTests
{
    [GeneratedRegex(@"\b([A-Z]\w+)/")]
    private static partial Regex Folder();

    [GeneratedRegex(@"(?<![\w…/])(?:I[A-Z]|[A-Z])[a-z0-9]+(?:[A-Z][A-Za-z0-9]*)+\b(?!/)|\bI[A-Z][a-z]+\b")]
    private static partial Regex TypeName();

    [GeneratedRegex(@"\b(?:class|record|struct|enum|interface|delegate [\w<>]+)\s+(?:struct\s+|class\s+)?(\w+)")]
    private static partial Regex Declaration();

    [GeneratedRegex(@"`([A-Z]\w+)/([A-Z]\w+)`")]
    private static partial Regex PathOfAWalk();

    [GeneratedRegex(@"`([A-Z]\w+)(?:\.([A-Z]\w+))?`")]
    private static partial Regex Quoted();

    private static string Page => Repository.Read("docs/ARCHITECTURE.md");

    private static string Tree()
    {
        var text = Page;
        text = text[(text.IndexOf("src/Proxy/\n", StringComparison.Ordinal) + "src/Proxy/\n".Length)..];
        return text[..text.IndexOf("\nmodels/", StringComparison.Ordinal)];
    }

    private static HashSet<string> Types() => [.. Repository.Sources().SelectMany(s => Declaration().Matches(s.Text).Select(m => m.Groups[1].Value))];

    [Fact]
    public void Every_folder_that_is_named_exists()
    {
        var named = Folder().Matches(Tree()).Select(m => m.Groups[1].Value).Distinct().ToArray();
        var there = Directory.EnumerateDirectories(Path.Combine(Repository.Root, "src/Proxy"), "*", SearchOption.AllDirectories).Select(Path.GetFileName)
            .ToHashSet();

        Assert.True(named.Length > 20, "the tree was not read");
        Assert.Empty(named.Where(name => !there.Contains(name)).ToArray());
    }

    [Fact]
    public void Every_folder_that_exists_is_named()
    {
        var tree = Tree();

        Assert.Empty(Repository.Sources().Select(s => s.Folder).Distinct()
            .Where(folder => folder.Length > 0 && !tree.Contains($"  {folder}/", StringComparison.Ordinal)).ToArray());
    }

    [Fact]
    public void Every_type_that_the_tree_names_exists()
    {
        var named = TypeName().Matches(Tree()).Select(m => m.Value).Distinct().ToArray();
        var there = Types();
        there.UnionWith(Directory.EnumerateDirectories(Path.Combine(Repository.Root, "src/Proxy/Dialects")).Select(folder => Path.GetFileName(folder)!));

        Assert.True(named.Length > 60, "the tree was not read");
        Assert.Empty(named.Where(name => !there.Contains(name)).ToArray());
    }

    [Fact]
    public void Every_path_and_type_that_the_text_names_exists()
    {
        var there = Types();
        var paths = PathOfAWalk().Matches(Page).ToArray();
        var quoted = Quoted().Matches(Page).ToArray();

        Assert.True(paths.Length > 20 && quoted.Length > 10, "the page was not read");
        Assert.Empty(paths.Where(m => !Directory.Exists(Path.Combine(Repository.Root, "src/Proxy", m.Groups[1].Value, m.Groups[2].Value))
            && !Repository.Sources().Any(s => s.Folder == m.Groups[1].Value
                && Declaration().Matches(s.Text).Any(d => d.Groups[1].Value == m.Groups[2].Value))).Select(m => m.Value).ToArray());
        Assert.Empty(quoted.Where(m => !there.Contains(m.Groups[1].Value)).Select(m => m.Value).ToArray());
    }

    [Fact]
    public void Every_file_of_the_top_level_that_is_named_exists()
    {
        var block = Page[(Page.IndexOf("```\nProxy.sln", StringComparison.Ordinal) + 4)..Page.IndexOf("docs/  ", StringComparison.Ordinal)];
        var named = block.Split([' ', '\n'], StringSplitOptions.RemoveEmptyEntries);

        Assert.True(named.Length > 10, "the page was not read");
        Assert.Empty(named.Where(name => !File.Exists(Path.Combine(Repository.Root, name))).ToArray());
    }
}
