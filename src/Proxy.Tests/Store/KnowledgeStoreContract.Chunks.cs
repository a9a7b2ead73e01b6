using Proxy.Knowledge;
using Proxy.Knowledge.Index;

namespace Proxy.Tests.Store;

/// <summary>Claims, chunks, and the index that searches read.</summary>
public abstract partial class KnowledgeStoreContract
{
    [Fact]
    public async Task Files_wait_The_oldest_is_claimed_first_and_each_once()
    {
        await WorkspaceAsync();
        for (var i = 1; i <= 3; i++) await AttachAsync($"file-{i}", created: Start.AddSeconds(i));

        Assert.Equal("file-1", (await Store.ClaimAsync("a", Lease, default))!.FileId);
        Assert.Equal("file-2", (await Store.ClaimAsync("b", Lease, default))!.FileId);
        Assert.Equal("file-3", (await Store.ClaimAsync("a", Lease, default))!.FileId);
        Assert.Null(await Store.ClaimAsync("c", Lease, default));
    }

    [Fact]
    public async Task Files_of_several_workspaces_wait_The_oldest_is_claimed_first_then_by_id_then_by_workspace()
    {
        await WorkspaceAsync("vs_b");
        await WorkspaceAsync("vs_a");
        await AttachAsync("file-2", workspace: "vs_b");
        await AttachAsync("file-3", workspace: "vs_b", created: Start.AddSeconds(-1));
        await AttachAsync("file-1", workspace: "vs_b");
        await AttachAsync("file-2", workspace: "vs_a");
        await AttachAsync("file-0", workspace: "vs_a", created: Start.AddSeconds(1));

        var claimed = new List<string>();
        while (await Store.ClaimAsync("worker", Lease, default) is { } file) claimed.Add($"{file.Workspace} {file.FileId}");

        Assert.Equal(["vs_b file-3", "vs_b file-1", "vs_a file-2", "vs_b file-2", "vs_a file-0"], claimed);
    }

    [Fact]
    public async Task Lease_has_ended_Another_worker_gets_the_file_and_the_first_is_refused()
    {
        await WorkspaceAsync();
        await AttachAsync("file-1");
        var claimed = (await Store.ClaimAsync("a", Lease, default))!;
        Assert.True(await Store.AppendAsync("a", Lease, claimed, 0, Chunks(claimed, ["alpha"], Small), false, default));

        Time.Advance(Lease - TimeSpan.FromSeconds(1));
        Assert.Null(await Store.ClaimAsync("b", Lease, default));
        Assert.True(await Store.AppendAsync("a", Lease, claimed, 1, Chunks(claimed, ["beta"], Small), false, default)); // renews the lease
        Time.Advance(Lease - TimeSpan.FromSeconds(1));
        Assert.Null(await Store.ClaimAsync("b", Lease, default));
        Time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(2, (await Store.ClaimAsync("b", Lease, default))!.Chunks);

        Assert.False(await Store.AppendAsync("a", Lease, claimed, 2, Chunks(claimed, ["gamma"], Small), true, default));
        await Store.ReleaseAsync("a", claimed, default); // is not its to give back
        Assert.Null(await Store.ClaimAsync("c", Lease, default));
        Assert.True(await Store.AppendAsync("b", Lease, claimed, 2, Chunks(claimed, ["gamma"], Small), true, default));
        Assert.Equal(3, (await Store.WorkspaceAsync(Docs, default))!.Chunks);
    }

    [Fact]
    public async Task Claim_is_given_back_Another_worker_gets_the_file_at_once()
    {
        await WorkspaceAsync();
        await AttachAsync("file-1");
        var claimed = (await Store.ClaimAsync("a", Lease, default))!;

        await Store.ReleaseAsync("a", claimed, default);

        Assert.Equal("file-1", (await Store.ClaimAsync("b", Lease, default))!.FileId);
    }

    [Fact]
    public async Task Leases_are_ended_Another_worker_gets_the_file_at_once_and_goes_on_with_it()
    {
        await WorkspaceAsync();
        await AttachAsync("file-1");
        var claimed = (await Store.ClaimAsync("a", Lease, default))!;
        Assert.True(await Store.AppendAsync("a", Lease, claimed, 0, Chunks(claimed, ["alpha"], Small), false, default));

        await Store.EndLeasesAsync(default);

        var taken = (await Store.ClaimAsync("b", Lease, default))!;
        Assert.Equal(("file-1", 1), (taken.FileId, taken.Chunks));
        Assert.False(await Store.AppendAsync("a", Lease, claimed, 1, Chunks(claimed, ["beta"], Small), true, default));
        Assert.True(await Store.AppendAsync("b", Lease, taken, 1, Chunks(taken, ["beta"], Small), true, default));
    }

    [Fact]
    public async Task Chunks_are_appended_with_another_count_or_to_another_state_They_are_refused()
    {
        await WorkspaceAsync();
        await AttachAsync("file-1");
        var claimed = (await Store.ClaimAsync("a", Lease, default))!;
        Assert.True(await Store.AppendAsync("a", Lease, claimed, 0, Chunks(claimed, ["alpha"], Small), false, default));

        Assert.False(await Store.AppendAsync("a", Lease, claimed, 0, Chunks(claimed, ["alpha"], Small), false, default));
        Assert.False(await Store.AppendAsync("a", Lease, claimed, 2, Chunks(claimed, ["beta"], Small), false, default));
        Assert.True(await Store.AppendAsync("a", Lease, claimed, 1, [], true, default));
        Assert.False(await Store.AppendAsync("a", Lease, claimed, 1, Chunks(claimed, ["beta"], Small), true, default));
        Assert.False(await Store.AppendAsync("a", Lease, claimed with { FileId = "file-2" }, 0, [], true, default));

        Assert.Equal("alpha", Assert.Single(await Store.ChunksOfAsync(Docs, "file-1", 0, 10, default)).Text);
        Assert.Equal((FileStatus.Completed, 1), await StateAsync("file-1"));
    }

    [Fact]
    public async Task File_was_attached_again_The_worker_that_began_before_is_refused()
    {
        await WorkspaceAsync();
        await AttachAsync("file-1");
        var first = (await Store.ClaimAsync("a", Lease, default))!;
        await AttachAsync("file-1");
        var second = (await Store.ClaimAsync("a", Lease, default))!;

        Assert.False(await Store.AppendAsync("a", Lease, first, 0, Chunks(first, ["alpha"], Small), true, default));
        Assert.True(await Store.AppendAsync("a", Lease, second, 0, Chunks(second, ["beta"], Small), true, default));
        Assert.Equal(["beta"], await FoundAsync("beta"));
        Assert.Empty(await FoundAsync("alpha"));
    }

    [Fact]
    public async Task Chunks_Have_every_value_and_are_read_by_number_and_slot()
    {
        await WorkspaceAsync();
        await IngestAsync("file-1", "alpha one", "alpha two", "alpha drei – ü");

        var all = await Store.ChunksOfAsync(Docs, "file-1", 0, 10, default);
        Assert.Equal(["alpha one", "alpha two", "alpha drei – ü"], all.Select(static chunk => chunk.Text));
        Assert.Equal(
            new StoredChunk(all[2].Slot, "file-1", 2, "alpha drei – ü") { Heading = "Guide", Page = 3, Start = 20, End = 29, Tokens = 14 }, all[2]);
        Assert.Equal([1], (await Store.ChunksOfAsync(Docs, "file-1", 1, 1, default)).Select(static chunk => chunk.Number));

        var bySlot = await Store.ChunksFromAsync(Docs, 0, 2, default);
        Assert.Equal(2, bySlot.Count);
        Assert.Equal(all.OrderBy(static chunk => chunk.Slot).Take(2), bySlot);
        Assert.Equal(all.MaxBy(static chunk => chunk.Slot), Assert.Single(await Store.ChunksFromAsync(Docs, bySlot[1].Slot + 1, 2, default)));

        using var index = (await Store.OpenAsync(Docs, default))!;
        Assert.Equal([0, 2], (await index.NeighboursAsync("file-1", [0, 2, 7], default)).Select(static chunk => chunk.Number).Order());
        Assert.Empty(await index.ChunksAsync([999], default));
    }

    [Fact]
    public async Task Index_Has_the_postings_and_slots_of_what_is_stored()
    {
        await WorkspaceAsync();
        var empty = (await Store.WorkspaceAsync(Docs, default))!.Version;
        await IngestAsync("file-1", "alpha alpha beta", "beta gamma");

        using var index = (await Store.OpenAsync(Docs, default))!;
        var chunks = (await Store.ChunksOfAsync(Docs, "file-1", 0, 10, default)).Select(static chunk => chunk.Slot).ToArray();
        Assert.Equal([new Posting(chunks[0], 2)], await PostingsAsync(index, "alpha"));
        Assert.Equal(new HashSet<int>(chunks), [.. (await PostingsAsync(index, "beta")).Select(static posting => posting.Slot)]);
        Assert.Equal(2, (await PostingsAsync(index, "guid", TermField.Title)).Count);
        Assert.Empty(await PostingsAsync(index, "alpha", TermField.Title));
        Assert.Empty(await PostingsAsync(index, "nowhere"));
        Assert.Equal(2, (await index.PostingsAsync([new(TermField.Body, "nowhere"), new(TermField.Body, "beta")], default)).Count);

        var expected = chunks.Select((_, i) => NewChunkOf("file-1.md", i == 0 ? "alpha alpha beta" : "beta gamma", i).Terms).ToArray();
        Assert.Equal(2, index.Slots.Count);
        Assert.Equal(expected.Sum(static terms => terms.BodyLength), index.Slots.BodyTerms);
        Assert.Equal(expected.Sum(static terms => terms.TitleLength), index.Slots.TitleTerms);
        Assert.Equal(expected[1].BodyLength, index.Slots.BodyLength(chunks[1]));
        Assert.Equal((await Store.AttachedAsync(Docs, "file-1", default))!.Ordinal, index.Slots.FileOf(chunks[0]));
        Assert.True(index.Workspace.Version > empty);
    }

    [Fact]
    public async Task File_is_in_progress_It_is_not_found_before_it_is_complete()
    {
        await WorkspaceAsync();
        await IngestAsync("file-0", "alpha zero");
        await AttachAsync("file-1");
        var claimed = (await Store.ClaimAsync("a", Lease, default))!;
        Assert.True(await Store.AppendAsync("a", Lease, claimed, 0, Chunks(claimed, ["alpha one"], Small), false, default));

        Assert.Equal(["alpha zero"], await FoundAsync("alpha"));
        Assert.Equal(["alpha zero"], await NearestAsync("alpha one", 5));

        Assert.True(await Store.AppendAsync("a", Lease, claimed, 1, Chunks(claimed, ["alpha two"], Small), true, default));
        Assert.Equal(["alpha one", "alpha two", "alpha zero"], await FoundAsync("alpha"));
        Assert.Equal("alpha one", (await NearestAsync("alpha one", 5))[0]);
    }

    [Fact]
    public async Task File_of_a_path_is_complete_It_replaces_the_one_before()
    {
        await WorkspaceAsync();
        await IngestAsync("file-1", ["alpha old", "alpha older"], path: "/a");
        await IngestAsync("file-2", ["alpha other"], path: "/b");
        await AttachAsync("file-3", path: "/a");
        var claimed = (await Store.ClaimAsync("worker", Lease, default))!;
        Assert.True(await Store.AppendAsync("worker", Lease, claimed, 0, Chunks(claimed, ["alpha new"], Small), false, default));
        Assert.Equal(["alpha old", "alpha older", "alpha other"], await FoundAsync("alpha"));

        Assert.True(await Store.AppendAsync("worker", Lease, claimed, 1, [], true, default));

        Assert.Equal(["alpha new", "alpha other"], await FoundAsync("alpha"));
        Assert.Null(await Store.AttachedAsync(Docs, "file-1", default));
        Assert.Equal(2, (await Store.WorkspaceAsync(Docs, default))!.Chunks);
        Assert.NotNull(await Store.FileAsync("file-1", default));
    }

    [Fact]
    public async Task File_of_a_path_is_complete_A_later_one_that_is_still_read_stays_and_then_replaces_it()
    {
        await WorkspaceAsync();
        await AttachAsync("file-1", path: "/a");
        var older = (await Store.ClaimAsync("one", Lease, default))!;
        await AttachAsync("file-2", path: "/a", created: Start.AddSeconds(-1)); // what counts is when it was attached
        var newer = (await Store.ClaimAsync("two", Lease, default))!;
        Assert.True(await Store.AppendAsync("two", Lease, newer, 0, Chunks(newer, ["alpha new"], Small), false, default));

        Assert.True(await Store.AppendAsync("one", Lease, older, 0, Chunks(older, ["alpha old"], Small), true, default));

        Assert.Equal(["alpha old"], await FoundAsync("alpha"));
        Assert.True(await Store.AppendAsync("two", Lease, newer, 1, Chunks(newer, ["alpha newer"], Small), true, default));
        Assert.Equal(["alpha new", "alpha newer"], await FoundAsync("alpha"));
        Assert.Null(await Store.AttachedAsync(Docs, "file-1", default));
    }

    [Fact]
    public async Task File_is_detached_Its_postings_vectors_and_counts_are_gone()
    {
        await WorkspaceAsync();
        await IngestAsync("file-1", "alpha beta", "beta gamma");
        await IngestAsync("file-2", "beta delta");
        var alone = (await Store.AttachedAsync(Docs, "file-2", default))!.UsageBytes;
        var before = (await Store.WorkspaceAsync(Docs, default))!;
        Assert.True(alone > 0);
        Assert.Equal((3, alone + (await Store.AttachedAsync(Docs, "file-1", default))!.UsageBytes), ((int)before.Chunks, before.UsageBytes));
        var slots = (await Store.ChunksOfAsync(Docs, "file-1", 0, 10, default)).Select(static chunk => chunk.Slot).ToArray();

        Assert.True(await Store.DetachAsync(Docs, "file-1", default));

        using var index = (await Store.OpenAsync(Docs, default))!;
        Assert.Empty(await PostingsAsync(index, "alpha"));
        Assert.Empty(await PostingsAsync(index, "gamma"));
        Assert.Single(await PostingsAsync(index, "beta"));
        Assert.Single(await PostingsAsync(index, "guid", TermField.Title));
        Assert.All(slots, slot => Assert.False(index.Slots.IsLive(slot)));
        Assert.All(await index.VectorsAsync(0, slots, default), static vector => Assert.All(vector, static number => Assert.Equal(0, number)));
        Assert.Empty(await index.ChunksAsync(slots, default));
        Assert.Equal((1, alone), (index.Workspace.Chunks, index.Workspace.UsageBytes));
        Assert.True(index.Workspace.Version > before.Version);
        Assert.Equal(["beta delta"], await NearestAsync("alpha beta", 5));
        Assert.False(await Store.DetachAsync(Docs, "file-1", default));
    }

    [Fact]
    public async Task Slots_of_deleted_chunks_Are_used_again()
    {
        await WorkspaceAsync();
        await IngestAsync("file-1", "alpha one", "alpha two");
        await IngestAsync("file-2", "alpha three");
        var most = (await Store.WorkspaceAsync(Docs, default))!.Slots;

        for (var i = 0; i < 5; i++)
        {
            await Store.DetachAsync(Docs, "file-1", default);
            await IngestAsync("file-1", $"beta {i}", $"gamma {i}");
            Assert.Equal([$"beta {i}"], await FoundAsync("beta"));
            Assert.Equal($"gamma {i}", (await NearestAsync($"gamma {i}", 9))[0]);
        }

        Assert.Equal(most, (await Store.WorkspaceAsync(Docs, default))!.Slots);
        Assert.Empty(await FoundAsync("one"));
    }

    [Fact]
    public async Task Many_chunks_of_several_blocks_Are_found()
    {
        await WorkspaceAsync();
        await AttachAsync("file-1");
        var claimed = (await Store.ClaimAsync("a", Lease, default))!;
        const int Batch = 500, Batches = 9; // more than a block of the slot table
        for (var i = 0; i < Batches; i++)
        {
            var texts = Enumerable.Range(i * Batch, Batch).Select(static n => $"word{n} common").ToArray();
            Assert.True(await Store.AppendAsync("a", Lease, claimed, i * Batch, Chunks(claimed, texts, Small), i == Batches - 1, default));
        }

        using var index = (await Store.OpenAsync(Docs, default))!;
        Assert.Equal(Batch * Batches, index.Slots.Count);
        Assert.Equal(Batch * Batches, (await PostingsAsync(index, Analyzer.Terms("common")[0])).Count);
        Assert.Equal(["word4321 common"], await FoundAsync("word4321"));
        Assert.Equal("word4321 common", (await NearestAsync("word4321 common", 1))[0]);
    }

    private async Task<(FileStatus Status, int Chunks)> StateAsync(string file)
    {
        var row = (await Store.AttachedAsync(Docs, file, default))!;
        return (row.Status, row.Chunks);
    }
}
