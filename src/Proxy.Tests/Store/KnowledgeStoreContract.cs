using System.Text;
using Microsoft.Extensions.Time.Testing;
using Proxy.Knowledge;
using Proxy.Knowledge.Analysis;
using Proxy.Knowledge.Index;

namespace Proxy.Tests.Store;

/// <summary>What every <see cref="IKnowledgeStore"/> does. A class for each database derives from it; each test has a database of its own.</summary>
public abstract partial class KnowledgeStoreContract : IAsyncLifetime
{
    private protected const string Docs = "vs_docs";
    private protected static readonly DateTimeOffset Start = new(2026, 3, 4, 12, 0, 0, TimeSpan.Zero);
    private protected static readonly TimeSpan Lease = TimeSpan.FromMinutes(1);
    private protected static readonly VectorSet Small = new("1", "small", 20);
    private protected static readonly ITextAnalyzer Analyzer = new TextAnalyzer();

    private readonly List<IKnowledgeStore> stores = [];

    private protected FakeTimeProvider Time { get; } = new(Start);

    private protected IKnowledgeStore Store { get; private set; } = null!;

    /// <summary>Whether two stores can use one database, and what was written is there after the store was closed.</summary>
    private protected virtual bool IsShared => true;

    /// <summary>Whether what has expired is left out.</summary>
    private protected virtual bool Expires => true;

    /// <summary>Whether scores are those of the vectors as they were given, up to rounding.</summary>
    private protected virtual double Rounding => 0.01;

    /// <summary>A store on the test's database. Every call of one test opens the same database, which is empty at the first.</summary>
    private protected abstract ValueTask<IKnowledgeStore> NewAsync();

    public virtual async ValueTask InitializeAsync() => Store = await OpenAsync();

    public virtual async ValueTask DisposeAsync()
    {
        foreach (var store in stores) await store.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    [Fact]
    public async Task Nothing_was_written_Everything_is_empty()
    {
        Assert.Empty(await Store.WorkspacesAsync(default));
        Assert.Null(await Store.WorkspaceAsync(Docs, default));
        Assert.False(await Store.DeleteWorkspaceAsync(Docs, default));
        Assert.Null(await Store.FileAsync("file-1", default));
        Assert.Empty(await Store.FilesAsync(null, null, new(10), default));
        Assert.False(await Store.CopyFileAsync("file-1", Stream.Null, default));
        Assert.False(await Store.DeleteFileAsync("file-1", default));
        Assert.Null(await Store.AttachedAsync(Docs, "file-1", default));
        Assert.Empty(await Store.AttachedAsync(Docs, null, null, new(10), default));
        Assert.Empty(await Store.PathsAsync(Docs, default));
        Assert.Equal(0, (await Store.CountsAsync(Docs, null, default)).Total);
        Assert.False(await Store.DetachAsync(Docs, "file-1", default));
        Assert.Null(await Store.BatchAsync(Docs, "vsfb_1", default));
        Assert.False(await Store.CancelBatchAsync(Docs, "vsfb_1", default));
        Assert.Null(await Store.ClaimAsync("worker", Lease, default));
        Assert.Empty(await Store.ChunksOfAsync(Docs, "file-1", 0, 10, default));
        Assert.Empty(await Store.ChunksFromAsync(Docs, 0, 10, default));
        Assert.Equal(-1, await Store.SwitchAsync(Docs, default));
        Assert.Null(await Store.OpenAsync(Docs, default));
        Assert.Equal(0, await Store.ForgetAsync("alice", default));
        Assert.Empty(await Store.CheckAsync(default));
    }

    [Fact]
    public async Task Workspace_Has_every_value()
    {
        var workspace = NewWorkspace() with
        {
            Description = "Ours – alle", Metadata = "{\"a\":\"b\"}", ExpiresAfterDays = 7, Building = [new("2", "large", 33)],
        };

        await Store.SaveAsync(workspace, default);

        var found = (await Store.WorkspaceAsync(Docs, default))!;
        Assert.Equal(workspace.Vectors, found.Vectors);
        Assert.Equal(workspace.Building, found.Building);
        Assert.Equal(workspace, found with { Vectors = workspace.Vectors, Building = workspace.Building, Version = workspace.Version });
        Assert.Equal(Docs, Assert.Single(await Store.WorkspacesAsync(default)).Id);
    }

    [Fact]
    public async Task Workspace_is_saved_again_Its_members_change_and_its_counts_do_not()
    {
        await WorkspaceAsync();
        await IngestAsync("file-1", "alpha beta", "gamma");
        var before = (await Store.WorkspaceAsync(Docs, default))!;

        await Store.SaveAsync(NewWorkspace() with { Name = "other", LastActiveAt = Start.AddDays(1), Chunks = 99, Slots = 99, UsageBytes = 99 }, default);

        var after = (await Store.WorkspaceAsync(Docs, default))!;
        Assert.Equal(("other", Start.AddDays(1)), (after.Name, after.LastActiveAt));
        Assert.Equal((before.Chunks, before.Slots, before.UsageBytes), (after.Chunks, after.Slots, after.UsageBytes));
        Assert.Equal(["gamma"], await FoundAsync("gamma"));
    }

    [Fact]
    public async Task Workspace_is_saved_from_an_old_copy_Its_vectors_stay()
    {
        var old = NewWorkspace() with { Vectors = [] };
        await Store.SaveAsync(old, default);
        await Store.SaveAsync(old with { Vectors = [Small] }, default);
        await IngestAsync("file-1", "alpha");

        await Store.SaveAsync(old with { Name = "later" }, default);

        Assert.Equal([Small], (await Store.WorkspaceAsync(Docs, default))!.Vectors);
        Assert.Equal(["alpha"], await NearestAsync("alpha", 1));
    }

    [Fact]
    public async Task Workspace_is_deleted_Its_content_is_gone_and_the_files_stay()
    {
        await WorkspaceAsync();
        await WorkspaceAsync("vs_other");
        await IngestAsync("file-1", "alpha beta");
        await IngestAsync("file-2", ["delta"], workspace: "vs_other");
        await Store.AddBatchAsync(new("vsfb_1", Docs, Start, false), default);

        Assert.True(await Store.DeleteWorkspaceAsync(Docs, default));

        Assert.Null(await Store.WorkspaceAsync(Docs, default));
        Assert.Null(await Store.OpenAsync(Docs, default));
        Assert.Null(await Store.AttachedAsync(Docs, "file-1", default));
        Assert.Null(await Store.BatchAsync(Docs, "vsfb_1", default));
        Assert.NotNull(await Store.FileAsync("file-1", default));
        Assert.Equal(["delta"], await FoundAsync("delta", "vs_other"));

        await WorkspaceAsync();
        Assert.Empty(await FoundAsync("alpha"));
        await IngestAsync("file-1", "epsilon");
        Assert.Equal(["epsilon"], await NearestAsync("alpha beta", 5));
    }

    [Fact]
    public async Task Workspace_has_expired_It_is_not_there()
    {
        if (!Expires) return;
        await Store.SaveAsync(NewWorkspace() with { ExpiresAfterDays = 2 }, default);
        await IngestAsync("file-1", "alpha");

        Time.Advance(TimeSpan.FromDays(2));

        Assert.Null(await Store.WorkspaceAsync(Docs, default));
        Assert.Empty(await Store.WorkspacesAsync(default));
        Assert.Null(await Store.OpenAsync(Docs, default));
    }

    [Fact]
    public async Task Owner_is_forgotten_What_it_owned_is_gone()
    {
        await WorkspaceAsync();
        await WorkspaceAsync("vs_bob", "bob");
        await IngestAsync("file-1", "alpha");
        await AddFileAsync("file-2", "two", owner: "bob");
        await AttachAsync("file-1", workspace: "vs_bob");
        Assert.True(await AppendAllAsync("file-1", ["alpha"], workspace: "vs_bob"));

        Assert.Equal(2, await Store.ForgetAsync("alice", default));

        Assert.Equal("vs_bob", Assert.Single(await Store.WorkspacesAsync(default)).Id);
        Assert.Equal("file-2", Assert.Single(await Store.FilesAsync(null, null, new(10), default)).Id);
        Assert.Empty(await FoundAsync("alpha", "vs_bob"));
    }

    /// <summary>Another store on the same database.</summary>
    private protected async Task<IKnowledgeStore> OpenAsync()
    {
        var store = await NewAsync();
        stores.Add(store);
        return store;
    }

    private protected static Workspace NewWorkspace(string id = Docs, string owner = "alice") => new()
    {
        Id = id, Owner = owner, Name = "docs", CreatedAt = Start, LastActiveAt = Start, Vectors = [Small],
    };

    private protected async Task WorkspaceAsync(string id = Docs, string owner = "alice") => await Store.SaveAsync(NewWorkspace(id, owner), default);

    private protected async Task<KnowledgeFile> AddFileAsync(string id, string content, string owner = "alice", DateTimeOffset? created = null) =>
        await Store.AddFileAsync(
            new() { Id = id, Owner = owner, Name = $"{id}.md", Sha256 = "", CreatedAt = created ?? Start },
            new MemoryStream(Encoding.UTF8.GetBytes(content)), default);

    private protected ValueTask<WorkspaceFile> AttachAsync(
        string file, string? path = null, string? batch = null, DateTimeOffset? created = null, string workspace = Docs) => Store.AttachAsync(
        new()
        {
            Workspace = workspace, FileId = file, Name = $"{file}.md", Sha256 = "00", Path = path, Batch = batch, CreatedAt = created ?? Start,
        },
        default);

    /// <summary>Adds a file and attaches it with a chunk for each text.</summary>
    private protected Task IngestAsync(string file, params string[] texts) => IngestAsync(file, texts, null);

    private protected async Task IngestAsync(string file, string[] texts, string? path = null, string workspace = Docs)
    {
        if (await Store.FileAsync(file, default) is null) await AddFileAsync(file, string.Join('\n', texts));
        await AttachAsync(file, path, workspace: workspace);
        Assert.True(await AppendAllAsync(file, texts, workspace: workspace));
    }

    /// <summary>Claims the file, which must be the only one, and appends all of its chunks.</summary>
    private protected async Task<bool> AppendAllAsync(string file, string[] texts, string workspace = Docs, VectorSet? set = null)
    {
        var claimed = (await Store.ClaimAsync("worker", Lease, default))!;
        Assert.Equal((workspace, file), (claimed.Workspace, claimed.FileId));
        return await Store.AppendAsync("worker", Lease, claimed, 0, Chunks(claimed, texts, set ?? Small), isLast: true, default);
    }

    private protected static NewChunk[] Chunks(WorkspaceFile file, string[] texts, params VectorSet[] sets) =>
        [.. texts.Select((text, i) => NewChunkOf(file.Name, text, i, sets))];

    private protected static NewChunk NewChunkOf(string name, string text, int number, params VectorSet[] sets) => new()
    {
        Text = text, Heading = "Guide", PageNumber = number + 1, Start = number * 10, End = (number * 10) + 9, Tokens = text.Length,
        Terms = Analyzer.TermsOf(ChunkTitle.Of(name, "Guide"), text), Vectors = [.. sets.Select(set => VectorOf(text, set))],
    };

    /// <summary>A vector of length 1 that depends on the text and the set.</summary>
    private protected static float[] VectorOf(string text, VectorSet set)
    {
        var random = new Random(StableHash($"{set.Model} {text}"));
        var vector = new float[set.Dimensions];
        for (var i = 0; i < vector.Length; i++) vector[i] = (float)((random.NextDouble() * 2) - 1);
        var length = MathF.Sqrt(vector.Sum(static number => number * number));
        return [.. vector.Select(number => number / length)];
    }

    internal static int StableHash(string text) => text.Aggregate(17, static (hash, c) => unchecked((hash * 31) + c));

    /// <summary>The texts that the workspace finds by a term, by what the postings and the slots say.</summary>
    private protected async Task<string[]> FoundAsync(string term, string workspace = Docs, TermField field = TermField.Body, IKnowledgeStore? store = null)
    {
        using var index = (await (store ?? Store).OpenAsync(workspace, default))!;
        var slots = (await PostingsAsync(index, Analyzer.Terms(term)[0], field)).Select(static posting => posting.Slot).Where(index.Slots.IsLive).ToArray();
        return [.. (await index.ChunksAsync(slots, default)).Select(static chunk => chunk.Text).Order(StringComparer.Ordinal)];
    }

    private protected static async Task<List<Posting>> PostingsAsync(IWorkspaceIndex index, string term, TermField field = TermField.Body)
    {
        var list = Assert.Single(await index.PostingsAsync([new(field, term)], default));
        var found = new List<Posting>();
        foreach (var (block, data) in list.Blocks)
        {
            var reader = new PostingBlock.Reader(data.Span, block);
            while (reader.Next(out var posting)) found.Add(posting);
        }

        return found;
    }

    /// <summary>The texts nearest to a text, best first.</summary>
    private protected async Task<string[]> NearestAsync(string text, int count, string workspace = Docs, VectorSet? set = null, IKnowledgeStore? store = null)
    {
        using var index = (await (store ?? Store).OpenAsync(workspace, default))!;
        var slots = await index.NearestAsync(0, VectorOf(text, set ?? Small), count, null, default);
        var chunks = (await index.ChunksAsync([.. slots.Select(static slot => slot.Slot)], default)).ToDictionary(static chunk => chunk.Slot);
        return [.. slots.Select(slot => chunks[slot.Slot].Text)];
    }
}
