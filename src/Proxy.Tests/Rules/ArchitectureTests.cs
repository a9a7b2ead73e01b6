using System.Text.RegularExpressions;

namespace Proxy.Tests.Rules;

/// <summary>What docs/ARCHITECTURE.md names in its tree exists, or is on the list of what is not built yet.</summary>
public sealed partial class ArchitectureTests
{
    /// <summary>Take a folder off when it is built.</summary>
    private static readonly string[] FoldersToCome =
    [
        "Streams", "Knowledge", "Workflow", "Nats", "Store", "Embedded", "Postgres", "Migrations",
    ];

    /// <summary>Take a type off when it is built.</summary>
    private static readonly string[] TypesToCome =
    [
        "RagRoute", "WorkflowRoute", "IRetriever", "IWorkflowLauncher", "MemoryJournal", "InFlight", "CompletionRecord", "SemanticCache", "PipelineTable", "WorkflowEvents", "NatsLink", "EventPublisher", "JetStreamJournal",
    ];

    /// <summary>Names of others.</summary>
    private static readonly string[] NoTypes = ["JetStream"];

    [GeneratedRegex(@"\b([A-Z]\w+)/")]
    private static partial Regex Folder();

    [GeneratedRegex(@"(?<![\w…/])(?:I[A-Z]|[A-Z])[a-z0-9]+(?:[A-Z][A-Za-z0-9]*)+\b(?!/)|\bI[A-Z][a-z]+\b")]
    private static partial Regex TypeName();

    [GeneratedRegex(@"\b(?:class|record|struct|enum|interface|delegate [\w<>]+)\s+(?:struct\s+|class\s+)?(\w+)")]
    private static partial Regex Declaration();

    private static string Tree()
    {
        var text = Repository.Read("docs/ARCHITECTURE.md");
        text = text[(text.IndexOf("src/Proxy/\n", StringComparison.Ordinal) + "src/Proxy/\n".Length)..];
        return text[..text.IndexOf("\nmodels/", StringComparison.Ordinal)];
    }

    [Fact]
    public void Every_folder_that_is_named_exists_or_is_to_come()
    {
        var named = Folder().Matches(Tree()).Select(m => m.Groups[1].Value).Distinct().ToArray();
        var there = Directory.EnumerateDirectories(Path.Combine(Repository.Root, "src/Proxy"), "*", SearchOption.AllDirectories).Select(Path.GetFileName).ToHashSet();

        Assert.True(named.Length > 20, "the tree was not read");
        Assert.Empty(named.Where(name => !there.Contains(name) && !FoldersToCome.Contains(name)).ToArray());
        Assert.Empty(FoldersToCome.Where(name => there.Contains(name) || !named.Contains(name)).ToArray());
    }

    [Fact]
    public void Every_folder_that_exists_is_named()
    {
        var tree = Tree();

        Assert.Empty(Repository.Sources().Select(s => s.Folder).Distinct().Where(folder => folder.Length > 0 && !tree.Contains($"  {folder}/", StringComparison.Ordinal)).ToArray());
    }

    [Fact]
    public void Every_type_that_is_named_exists_or_is_to_come()
    {
        var named = TypeName().Matches(Tree()).Select(m => m.Value).Distinct().Except(NoTypes).ToArray();
        var there = Repository.Sources().SelectMany(s => Declaration().Matches(s.Text).Select(m => m.Groups[1].Value)).ToHashSet();
        var dialects = Directory.EnumerateDirectories(Path.Combine(Repository.Root, "src/Proxy/Dialects")).Select(Path.GetFileName).Concat(FoldersToCome).ToHashSet();

        Assert.True(named.Length > 40, "the tree was not read");
        Assert.Empty(named.Where(name => !there.Contains(name) && !TypesToCome.Contains(name) && !dialects.Contains(name)).ToArray());
        Assert.Empty(TypesToCome.Where(name => there.Contains(name) || !named.Contains(name)).ToArray());
    }
}
