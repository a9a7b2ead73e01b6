using Microsoft.Extensions.Logging.Abstractions;
using Proxy.Knowledge;
using Proxy.Knowledge.Analysis;
using Proxy.Knowledge.Ingest;
using Proxy.Tests.Harness;
using Proxy.Vectors;

namespace Proxy.Tests.Knowledge.Ingest;

public sealed class IngestQueueTests : IAsyncDisposable
{
    private static readonly CancellationToken None = TestContext.Current.CancellationToken;

    private readonly MemoryKnowledgeStore store = new();
    private readonly Models models = new();

    public ValueTask DisposeAsync() => store.DisposeAsync();

    [Fact]
    public async Task Model_fails_in_an_unexpected_way_The_queue_goes_on()
    {
        await AddAsync("a text");
        models.Fails = () => throw new OperationCanceledException("a timeout of the model's host, not the end of the proxy");
        using var queue = Queue();
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(None);
        var running = queue.RunAsync(false, stop.Token);
        await Patience.Until(() => Task.FromResult(queue.Problem is not null || running.IsCompleted), "the failure is seen");

        models.Fails = null;

        await Patience.Until(async () => (await FileAsync()).Status is FileStatus.Completed, "the file is read");
        await stop.CancelAsync();
        await running;
    }

    [Fact]
    public async Task Model_gives_fewer_vectors_than_texts_The_file_waits()
    {
        await AddAsync("a text");
        models.Fails = static () => 0;
        using var queue = Queue();

        var problem = await Assert.ThrowsAsync<IngestException>(() => queue.ReadNextAsync(None));

        Assert.Equal("the model 'm' gave 0 vectors for 1 texts", problem.Message);
        Assert.Equal(FileStatus.InProgress, (await FileAsync()).Status);
    }

    [Fact]
    public async Task Workspace_is_deleted_while_its_first_file_is_read_It_stays_gone()
    {
        await AddAsync("a text");
        models.Before = () => store.DeleteWorkspaceAsync("vs_1", None).AsTask();
        using var queue = Queue();

        await queue.ReadNextAsync(None);

        Assert.Empty(await store.WorkspacesAsync(None));
    }

    [Fact]
    public async Task File_cannot_be_read_What_its_client_changed_meanwhile_stays()
    {
        await AddAsync("");
        models.Before = async () => await store.SetAttributesAsync((await FileAsync()).Workspace, (await FileAsync()).FileId, "{\"a\":1}", None);
        using var queue = Queue();

        await queue.ReadNextAsync(None);

        var file = await FileAsync();
        Assert.Equal((FileStatus.Failed, "the file is empty", "{\"a\":1}"), (file.Status, file.Error, file.Attributes));
    }

    [Fact]
    public async Task File_was_deleted_at_the_moment_it_was_put_in_It_does_not_wait_for_ever()
    {
        await AddAsync("a text");
        await store.AttachAsync(new() { Workspace = "vs_1", FileId = "file-2", Name = "b.txt", Sha256 = "", CreatedAt = DateTimeOffset.UnixEpoch }, None);
        using var queue = Queue();

        while (await queue.ReadNextAsync(None))
        {
        }

        Assert.Equal(FileStatus.Failed, (await store.AttachedAsync("vs_1", "file-2", None))!.Status);
    }

    private IngestQueue Queue()
    {
        var known = new KnowledgeModels(models, ["m"], null);
        return new(store, known, new(store, known), new TextAnalyzer(), NullLogger.Instance, TimeProvider.System);
    }

    private async Task<WorkspaceFile> FileAsync() => (await store.AttachedAsync("vs_1", "file-1", None))!;

    private async Task AddAsync(string text)
    {
        var now = DateTimeOffset.UnixEpoch;
        await store.SaveAsync(new Workspace { Id = "vs_1", Owner = "a", Name = "docs", CreatedAt = now, LastActiveAt = now }, None);
        var file = new KnowledgeFile { Id = "file-1", Owner = "a", Name = "a.txt", Sha256 = "", CreatedAt = now };
        file = await store.AddFileAsync(file, new MemoryStream(System.Text.Encoding.UTF8.GetBytes(text)), None);
        await store.AttachAsync(new() { Workspace = "vs_1", FileId = file.Id, Name = file.Name, Sha256 = file.Sha256, CreatedAt = now }, None);
    }

    /// <summary>One embedding model that can be made to fail.</summary>
    private sealed class Models : IVectorModels, IEmbedder
    {
        /// <summary>Gives the number of vectors that the model returns, or throws; null: it works.</summary>
        public Func<int>? Fails { get; set; }

        /// <summary>Happens once, before the model answers.</summary>
        public Func<Task>? Before { get; set; }

        public VectorModelInfo Info { get; } = new("m", VectorModelKind.Embed) { MaxInputLength = 512 }; // tokens are estimated

        public IEmbedder? Embedder(string model) => this;

        public IReranker? Reranker(string model) => null;

        public async ValueTask<(VectorBatch? Vectors, VectorError? Error)> EmbedAsync(EmbedRequest request, CancellationToken cancellation)
        {
            if (Before is { } before)
            {
                Before = null;
                await before();
            }

            var count = Fails?.Invoke() ?? request.Inputs.Count;
            return (new(Enumerable.Range(0, count * 2).Select(static i => i % 2 == 0 ? 1f : 0f).ToArray(), 2, []), null);
        }

        public ValueTask<(TokenVectors? Vectors, VectorError? Error)> EmbedTokensAsync(EmbedRequest request, CancellationToken cancellation) =>
            throw new NotSupportedException();

        public ValueTask<(IReadOnlyList<IReadOnlyList<TextToken>>? Tokens, VectorError? Error)> TokenizeAsync(
            IReadOnlyList<string> texts, bool special, CancellationToken cancellation) => throw new NotSupportedException();
    }
}
