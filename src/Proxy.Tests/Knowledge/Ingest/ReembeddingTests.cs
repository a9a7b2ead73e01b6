using Proxy.Knowledge;
using Proxy.Knowledge.Index;
using Proxy.Knowledge.Ingest;
using Proxy.Tests.Harness;
using Proxy.Tests.Http;
using Proxy.Vectors;

namespace Proxy.Tests.Knowledge.Ingest;

public sealed class ReembeddingTests : IAsyncDisposable
{
    private static readonly CancellationToken None = TestContext.Current.CancellationToken;

    private readonly MemoryKnowledgeStore store = new();
    private readonly Table models = new();

    public ValueTask DisposeAsync() => store.DisposeAsync();

    [Fact]
    public async Task Vectors_of_another_model_Replace_the_old_ones_when_all_are_there_and_not_before()
    {
        var workspace = await FilledAsync(70);
        var work = new Reembedding(store, Named("new"));

        var (begun, problem) = await work.BeginAsync(workspace, None);
        var (steps, progress) = (0, new List<ReembedProgress?>());
        while (await work.StepAsync(None))
        {
            steps++;
            progress.Add(work.Of(workspace.Id));
            if ((await store.WorkspaceAsync(workspace.Id, None))!.Building.Count == 0) break;
            Assert.Equal("old", (await store.WorkspaceAsync(workspace.Id, None))!.Vectors[0].Model);
            Assert.Equal(2, await DimensionsAsync(workspace.Id)); // a search still gets the old ones
        }

        var after = (await store.WorkspaceAsync(workspace.Id, None))!;
        Assert.Null(problem);
        Assert.Equal("new", begun!.Building.Single().Model);
        Assert.Equal((70, 1), (begun.Slots, after.Vectors.Count));
        Assert.Equal(("new", 3), (after.Vectors[0].Model, after.Vectors[0].Dimensions));
        Assert.NotEqual(workspace.Vectors[0].Id, after.Vectors[0].Id);
        Assert.True(steps > 3, "it was done in one step");
        Assert.Equal(new ReembedProgress(32, 70), progress[0]);
        Assert.False(await work.StepAsync(None));
        Assert.Null(work.Of(workspace.Id));
        // The title of the chunk is embedded as well, as at the first time.
        Assert.Contains(models.New.Asked, static request => request.Inputs.Any(static input => input.Text == "guide › Part. text 7"));
    }

    [Fact]
    public async Task Another_process_Goes_on_where_the_first_ended()
    {
        var workspace = await FilledAsync(100);
        var first = new Reembedding(store, Named("new"));
        await first.BeginAsync(workspace, None);
        await first.StepAsync(None);
        await first.StepAsync(None);
        var before = models.New.Asked.Sum(static request => request.Inputs.Count);

        var second = new Reembedding(store, Named("new"));
        while (await second.StepAsync(None))
        {
        }

        Assert.Equal("new", (await store.WorkspaceAsync(workspace.Id, None))!.Vectors[0].Model);
        Assert.Equal(1 + 64, before); // one to learn the length of its vectors
        Assert.Equal(36, models.New.Asked.Sum(static request => request.Inputs.Count) - before);
    }

    [Fact]
    public async Task A_file_that_comes_meanwhile_Gets_both_vectors()
    {
        var workspace = await FilledAsync(40);
        var work = new Reembedding(store, Named("new"));
        await work.BeginAsync(workspace, None);
        await work.StepAsync(None);
        await AddAsync(workspace, "late.md", 3);

        while (await work.StepAsync(None))
        {
        }

        var after = (await store.WorkspaceAsync(workspace.Id, None))!;
        Assert.Equal("new", after.Vectors.Single().Model);
        Assert.Equal(43, after.Chunks);
        for (var slot = 0; slot < 43; slot++) Assert.NotEqual(0, await LengthAsync(workspace.Id, slot));
    }

    [Fact]
    public async Task A_model_that_nothing_serves_Is_named_and_the_old_vectors_stay()
    {
        var workspace = await FilledAsync(5);
        var (begun, problem) = await new Reembedding(store, Named("missing")).BeginAsync(workspace, None);
        var work = new Reembedding(store, Named("new"));
        await work.BeginAsync(workspace, None);
        models.New.Refusal = new(VectorErrorKind.Failed, "out of memory");

        var failure = await Assert.ThrowsAsync<IngestException>(() => work.StepAsync(None));

        Assert.Null(begun);
        Assert.Contains("nothing serves the embedding model 'missing'", problem, StringComparison.Ordinal);
        Assert.Equal("the embedding model 'new' failed: out of memory", failure.Message);
        Assert.Equal("old", (await store.WorkspaceAsync(workspace.Id, None))!.Vectors[0].Model);
    }

    private KnowledgeModels Named(string model) => new(models, [model], null);

    private async Task<Workspace> FilledAsync(int chunks)
    {
        var workspace = new Workspace
        {
            Id = "vs_1", Owner = "local", Name = "docs", CreatedAt = DateTimeOffset.UnixEpoch, LastActiveAt = DateTimeOffset.UnixEpoch,
            Vectors = [new VectorSet("1", "old", 2)],
        };
        await store.SaveAsync(workspace, None);
        await AddAsync(workspace, "guide.md", chunks);
        return (await store.WorkspaceAsync(workspace.Id, None))!;
    }

    private async Task AddAsync(Workspace workspace, string name, int chunks)
    {
        var file = await store.AddFileAsync(
            new() { Id = "file-" + name, Owner = "local", Name = name, Sha256 = "", CreatedAt = DateTimeOffset.UnixEpoch }, new MemoryStream([1]), None);
        await store.AttachAsync(new() { Workspace = workspace.Id, FileId = file.Id, Name = name, Sha256 = file.Sha256, CreatedAt = file.CreatedAt }, None);
        var claimed = (await store.ClaimAsync("w", TimeSpan.FromMinutes(1), None))!;
        var none = new Dictionary<string, int>();
        var rows = Enumerable.Range(0, chunks).Select(number => new NewChunk
        {
            Text = $"text {number}", Heading = "Part", Vectors = [[0f, 1f]], Terms = new ChunkTerms(none, none),
        }).ToList();
        Assert.True(await store.AppendAsync("w", TimeSpan.FromMinutes(1), claimed, 0, rows, isLast: true, None));
    }

    private async Task<int> DimensionsAsync(string workspace)
    {
        using var index = (await store.OpenAsync(workspace, None))!;
        return (await index.VectorsAsync(0, [0], None))[0].Length;
    }

    private async Task<float> LengthAsync(string workspace, int slot)
    {
        using var index = (await store.OpenAsync(workspace, None))!;
        return (await index.VectorsAsync(0, [slot], None))[0].Sum(static value => value * value);
    }

    private sealed class Table : IVectorModels
    {
        public FakeVectorModel New { get; } = new(new VectorModelInfo("new", VectorModelKind.Embed) { MaxInputLength = 512, Dimensions = 3 });

        public IEmbedder? Embedder(string model) => model == "new" ? New : null;

        public IReranker? Reranker(string model) => null;
    }
}
