using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Proxy.Chat;
using Proxy.Knowledge;
using Proxy.Knowledge.Analysis;
using Proxy.Knowledge.Ingest;
using Proxy.Knowledge.Search;
using Proxy.Tests.Harness;
using Proxy.Vectors;

namespace Proxy.Tests.Knowledge;

/// <summary>Checks whose workspace a name finds.</summary>
public sealed class WorkspaceAccessTests : IAsyncDisposable
{
    private static readonly CancellationToken None = TestContext.Current.CancellationToken;

    private readonly MemoryKnowledgeStore store = new();
    private readonly FakeTimeProvider time = new();
    private readonly IngestQueue ingest;
    private readonly WorkspaceAccess knowledge;

    public WorkspaceAccessTests()
    {
        var models = new KnowledgeModels(new NoModels(), [], null);
        var analyzer = new TextAnalyzer();
        ingest = new(store, models, new(store, models), analyzer, NullLogger.Instance, time);
        knowledge = new(store, new KnowledgeSearch(store, models, analyzer, time), ingest, time);
    }

    public async ValueTask DisposeAsync()
    {
        ingest.Dispose();
        await store.DisposeAsync();
    }

    [Fact]
    public async Task Name_Finds_ones_own_newest_and_of_others_the_oldest()
    {
        var reader = new KnowledgeCaller("reader", false, ["docs"]);
        var first = await AddAsync("team");
        await AddAsync("intruder"); // a key without a list may use any name

        Assert.Equal(first.Id, await FoundAsync(reader));
        var local = await AddAsync(KnowledgeCaller.LocalOwner);
        Assert.Equal(local.Id, await FoundAsync(reader));
        await AddAsync("reader");
        var newest = await AddAsync("reader");
        Assert.Equal(newest.Id, await FoundAsync(reader));
    }

    [Fact]
    public async Task Too_many_names_Are_refused()
    {
        var (found, error) = await knowledge.FindAsync(new("a", false, []), Enumerable.Repeat("docs", WorkspaceAccess.MostWorkspaces + 1), "x-workspace", None);

        Assert.Empty(found);
        Assert.Equal((ProxyErrorKind.InvalidRequest, "x-workspace"), (error!.Kind, error.Param));
    }

    private async Task<string?> FoundAsync(KnowledgeCaller caller) => (await knowledge.FindAsync(caller, "docs", "x-workspace", None)).Found?.Id;

    private async Task<Workspace> AddAsync(string owner)
    {
        time.Advance(TimeSpan.FromSeconds(1));
        return await knowledge.CreateAsync(new(owner, false, []), new("docs"), None);
    }

    private sealed class NoModels : IVectorModels
    {
        public IEmbedder? Embedder(string model) => null;

        public IReranker? Reranker(string model) => null;
    }
}
