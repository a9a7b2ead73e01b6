using Proxy.Knowledge;
using Proxy.Knowledge.Index;

namespace Proxy.Tests.Store;

/// <summary>Nearest vectors, other models, and several stores on one database.</summary>
public abstract partial class KnowledgeStoreContract
{
    private static readonly VectorSet Large = new("2", "large", 33);

    [Theory]
    [InlineData(20)]
    [InlineData(100)]
    [InlineData(384)]
    [InlineData(1024)]
    public async Task Vectors_of_any_dimension_The_nearest_are_found_best_first(int dimensions)
    {
        var set = new VectorSet("1", "any", dimensions);
        await Store.SaveAsync(NewWorkspace() with { Vectors = [set] }, default);
        await AttachAsync("file-1");
        var texts = Enumerable.Range(0, 300).Select(static n => $"text {n}").ToArray();
        Assert.True(await AppendAllAsync("file-1", texts, set: set));

        using var index = (await Store.OpenAsync(Docs, default))!;
        var query = VectorOf("text 42", set);
        var found = await index.NearestAsync(0, query, 10, null, default);

        var chunks = (await index.ChunksAsync([.. found.Select(static slot => slot.Slot)], default)).ToDictionary(static chunk => chunk.Slot);
        var expected = texts.Select(text => (Text: text, Cosine: Cosine(query, VectorOf(text, set)))).OrderByDescending(static one => one.Cosine).ToArray();
        Assert.Equal("text 42", chunks[found[0].Slot].Text);
        Assert.Equal(found.OrderByDescending(static slot => slot.Score).ThenBy(static slot => slot.Slot), found);
        for (var i = 0; i < 10; i++)
        {
            Assert.Equal(expected[i].Cosine, found[i].Score, Rounding);
            Assert.Equal(Cosine(query, VectorOf(chunks[found[i].Slot].Text, set)), found[i].Score, Rounding);
        }

        var vector = Assert.Single(await index.VectorsAsync(0, [found[0].Slot], default));
        Assert.Equal(1, Cosine(vector, vector), 1e-3);
        Assert.Equal(1, Cosine(vector, query), Rounding);
    }

    [Fact]
    public async Task Mask_is_given_Only_its_slots_are_found()
    {
        await WorkspaceAsync();
        await IngestAsync("file-1", [.. Enumerable.Range(0, 50).Select(static n => $"text {n}")]);
        var chunks = await Store.ChunksOfAsync(Docs, "file-1", 0, 100, default);

        using var index = (await Store.OpenAsync(Docs, default))!;
        var mask = new SlotMask(index.Slots.Length);
        foreach (var chunk in chunks.Where(static chunk => chunk.Number % 10 == 3)) mask.Add(chunk.Slot);

        var found = await index.NearestAsync(0, VectorOf("text 4", Small), 50, mask, default);
        Assert.Equal(chunks.Where(static chunk => chunk.Number % 10 == 3).Select(static chunk => chunk.Slot).Order(), found.Select(static s => s.Slot).Order());
        Assert.Empty(await index.NearestAsync(0, VectorOf("text 4", Small), 50, new SlotMask(index.Slots.Length), default));
        Assert.Equal(7, (await index.NearestAsync(0, VectorOf("text 4", Small), 7, null, default)).Count);
    }

    [Fact]
    public async Task No_model_embeds_Words_alone_are_found()
    {
        await Store.SaveAsync(NewWorkspace() with { Vectors = [] }, default);
        await AttachAsync("file-1");
        var claimed = (await Store.ClaimAsync("worker", Lease, default))!;
        Assert.True(await Store.AppendAsync("worker", Lease, claimed, 0, Chunks(claimed, ["alpha"]), true, default));

        Assert.Equal(["alpha"], await FoundAsync("alpha"));
        Assert.Empty((await Store.WorkspaceAsync(Docs, default))!.Vectors);
    }

    [Fact]
    public async Task Workspace_has_two_sets_Each_finds_by_its_own()
    {
        await Store.SaveAsync(NewWorkspace() with { Vectors = [Small, Large] }, default);
        await AttachAsync("file-1");
        var claimed = (await Store.ClaimAsync("worker", Lease, default))!;
        Assert.True(await Store.AppendAsync("worker", Lease, claimed, 0, Chunks(claimed, ["alpha", "beta", "gamma"], Small, Large), true, default));

        using var index = (await Store.OpenAsync(Docs, default))!;
        var chunk = (await Store.ChunksOfAsync(Docs, "file-1", 1, 1, default))[0];
        foreach (var (set, i) in ((VectorSet, int)[])[(Small, 0), (Large, 1)])
        {
            var best = Assert.Single(await index.NearestAsync(i, VectorOf("beta", set), 1, null, default));
            Assert.Equal((chunk.Slot, set.Dimensions), (best.Slot, (await index.VectorsAsync(i, [chunk.Slot], default))[0].Length));
            Assert.Equal(1, best.Score, Rounding);
        }
    }

    [Fact]
    public async Task Model_changes_Both_are_there_until_the_new_one_is_complete()
    {
        await WorkspaceAsync();
        await IngestAsync("file-1", "alpha", "beta");
        await IngestAsync("file-2", "gamma");
        await Store.SaveAsync((await Store.WorkspaceAsync(Docs, default))! with { Building = [Large] }, default);
        var version = (await Store.WorkspaceAsync(Docs, default))!.Version;

        await FillAsync(await Store.ChunksFromAsync(Docs, 0, 2, default));
        var missing = await Store.SwitchAsync(Docs, default);

        Assert.Equal("gamma", (await Store.ChunksFromAsync(Docs, missing, 1, default))[0].Text);
        Assert.Equal([Small], (await Store.WorkspaceAsync(Docs, default))!.Vectors);
        Assert.Equal("beta", (await NearestAsync("beta", 9))[0]);

        await FillAsync(await Store.ChunksFromAsync(Docs, missing, 9, default));
        await IngestAsync("file-3", "delta"); // in the meantime, with the old model
        missing = await Store.SwitchAsync(Docs, default);
        Assert.Equal("delta", (await Store.ChunksFromAsync(Docs, missing, 1, default))[0].Text);
        await FillAsync(await Store.ChunksFromAsync(Docs, missing, 1, default));
        Assert.Equal(-1, await Store.SwitchAsync(Docs, default));

        var after = (await Store.WorkspaceAsync(Docs, default))!;
        Assert.Equal([Large], after.Vectors);
        Assert.Empty(after.Building);
        Assert.True(after.Version > version);
        foreach (var text in (string[])["alpha", "beta", "gamma", "delta"]) Assert.Equal(text, (await NearestAsync(text, 9, set: Large))[0]);
        await IngestAsync("file-4", "omega", Large);
        Assert.Equal("omega", (await NearestAsync("omega", 9, set: Large))[0]);
    }

    [Fact]
    public async Task Chunk_is_replaced_while_another_model_computes_It_does_not_get_the_other_chunks_vector()
    {
        await WorkspaceAsync();
        await IngestAsync("file-1", "alpha");
        await Store.SaveAsync((await Store.WorkspaceAsync(Docs, default))! with { Building = [Large] }, default);
        var old = await Store.ChunksFromAsync(Docs, 0, 9, default);
        await Store.DetachAsync(Docs, "file-1", default);
        await IngestAsync("file-2", "beta");

        await FillAsync(old); // late

        var missing = await Store.SwitchAsync(Docs, default);
        Assert.Equal("beta", (await Store.ChunksFromAsync(Docs, missing, 1, default))[0].Text);
        await FillAsync(await Store.ChunksFromAsync(Docs, missing, 1, default));
        Assert.Equal(-1, await Store.SwitchAsync(Docs, default));
        using var index = (await Store.OpenAsync(Docs, default))!;
        Assert.Equal(1, Assert.Single(await index.NearestAsync(0, VectorOf("beta", Large), 9, null, default)).Score, Rounding);
    }

    [Fact]
    public async Task Worker_has_vectors_of_the_old_model_after_the_switch_It_is_refused()
    {
        var other = new VectorSet("2", "other", Small.Dimensions);
        await WorkspaceAsync();
        await AttachAsync("file-1");
        var claimed = (await Store.ClaimAsync("worker", Lease, default))!;
        await Store.SaveAsync((await Store.WorkspaceAsync(Docs, default))! with { Building = [other] }, default);
        Assert.Equal(-1, await Store.SwitchAsync(Docs, default));

        Assert.False(await Store.AppendAsync("worker", Lease, claimed, 0, Chunks(claimed, ["alpha"], Small), true, default));

        var again = (await Store.ClaimAsync("worker", Lease, default))!;
        Assert.True(await Store.AppendAsync("worker", Lease, again, 0, Chunks(again, ["alpha"], other), true, default));
        Assert.Equal(["alpha"], await NearestAsync("alpha", 1, set: other));
    }

    [Fact]
    public async Task Building_is_given_up_Its_vectors_are_gone()
    {
        await WorkspaceAsync();
        await IngestAsync("file-1", "alpha");
        var workspace = (await Store.WorkspaceAsync(Docs, default))!;
        await Store.SaveAsync(workspace with { Building = [Large] }, default);
        await FillAsync(await Store.ChunksFromAsync(Docs, 0, 9, default));

        await Store.SaveAsync((await Store.WorkspaceAsync(Docs, default))! with { Building = [] }, default);
        await FillAsync(await Store.ChunksFromAsync(Docs, 0, 9, default)); // late, and ignored

        Assert.Empty((await Store.WorkspaceAsync(Docs, default))!.Building);
        Assert.Equal(-1, await Store.SwitchAsync(Docs, default));
        Assert.Equal([Small], (await Store.WorkspaceAsync(Docs, default))!.Vectors);
    }

    [Fact]
    public async Task Two_stores_use_one_database_Each_sees_what_the_other_writes()
    {
        if (!IsShared) return;
        var other = await OpenAsync();
        Assert.Empty(await other.WorkspacesAsync(default));
        await WorkspaceAsync();
        await IngestAsync("file-1", "alpha one");
        Assert.Equal(["alpha one"], await FoundAsync("alpha", store: other));

        await IngestAsync("file-2", "alpha two");
        Assert.Equal(["alpha one", "alpha two"], await FoundAsync("alpha", store: other));
        Assert.Equal("alpha two", (await NearestAsync("alpha two", 1, store: other))[0]);
        Assert.True(await other.DetachAsync(Docs, "file-1", default));
        Assert.Equal(["alpha two"], await FoundAsync("alpha"));
        Assert.Equal(["alpha two"], await NearestAsync("alpha one", 9));
    }

    [Fact]
    public async Task Two_stores_ingest_at_once_Every_file_is_read_once()
    {
        await WorkspaceAsync();
        const int Files = 30;
        for (var i = 0; i < Files; i++) await AttachAsync($"file-{i}", created: Start.AddSeconds(i));
        IKnowledgeStore[] workers = IsShared ? [Store, await OpenAsync(), await OpenAsync()] : [Store];

        var read = await Task.WhenAll(workers.Select((store, i) => Task.Run(async () =>
        {
            var count = 0;
            for (; await store.ClaimAsync($"w{i}", Lease, default) is { } file; count++)
            {
                Assert.True(await store.AppendAsync($"w{i}", Lease, file, 0, Chunks(file, [$"common {file.FileId} a"], Small), false, default));
                Assert.True(await store.AppendAsync($"w{i}", Lease, file, 1, Chunks(file, [$"common {file.FileId} b"], Small), true, default));
                if (count % 3 == 0) Assert.True(await store.DetachAsync(Docs, file.FileId, default));
            }

            return count;
        })));

        Assert.Equal(Files, read.Sum());
        var left = (await Store.AttachedAsync(Docs, FileStatus.Completed, null, new(100), default)).Select(static file => file.FileId).ToArray();
        Assert.Equal(left.Length * 2, (await Store.WorkspaceAsync(Docs, default))!.Chunks);
        Assert.Equal(left.SelectMany(static id => (string[])[$"common {id} a", $"common {id} b"]).Order(StringComparer.Ordinal), await FoundAsync("common"));
        foreach (var id in left) Assert.Equal($"common {id} b", (await NearestAsync($"common {id} b", 1))[0]);
    }

    [Fact]
    public async Task Store_is_closed_and_opened_again_Everything_is_there()
    {
        if (!IsShared) return;
        await WorkspaceAsync();
        await IngestAsync("file-1", "alpha");
        var before = (await Store.WorkspaceAsync(Docs, default))!;
        await Store.DisposeAsync();

        var again = await OpenAsync();

        Assert.Equal(before.Version, (await again.WorkspaceAsync(Docs, default))!.Version);
        Assert.Equal(["alpha"], await FoundAsync("alpha", store: again));
        Assert.Equal(["alpha"], await NearestAsync("alpha", 1, store: again));
    }

    private async Task FillAsync(IReadOnlyList<StoredChunk> chunks) =>
        await Store.FillAsync(Docs, Large, [.. chunks.Select(static chunk => (chunk.Slot, VectorOf(chunk.Text, Large)))], default);

    private async Task IngestAsync(string file, string text, VectorSet set)
    {
        await AttachAsync(file);
        Assert.True(await AppendAllAsync(file, [text], set: set));
    }

    private static double Cosine(float[] left, float[] right) => left.Zip(right, static (a, b) => (double)a * b).Sum();
}
