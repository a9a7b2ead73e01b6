using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Proxy.Store;
using Proxy.Streams;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Store;

public sealed class RecordWriterTests : IDisposable
{
    private readonly FakeTimeProvider time = new();
    private readonly SlowStore store = new();
    private readonly RecordWriter writer;

    public RecordWriterTests() => writer = new(store, "memory", NullLogger.Instance, time);

    public void Dispose()
    {
        store.Let(int.MaxValue / 2);
        writer.Dispose();
    }

    [Fact]
    public async Task Store_is_busy_What_comes_in_meanwhile_is_one_transaction_in_order()
    {
        writer.Post(Row("first"));
        await store.Began();
        var others = Enumerable.Range(0, 99).Select(i => writer.WriteAsync([Row($"{i}")], default).AsTask()).ToArray();
        Assert.Equal(99, writer.Waiting);

        store.Let(2);
        await Patience.For(Task.WhenAll(others), "the rows are written");

        Assert.Equal(2, writer.Commits);
        Assert.Equal([["first"], [.. Enumerable.Range(0, 99).Select(i => $"{i}")]], store.Committed);
        Assert.Equal((0, 0L, null), (writer.Waiting, writer.Lost, writer.Problem));
    }

    [Fact]
    public async Task Rows_belong_together_They_are_in_one_transaction()
    {
        store.Let(1);

        await writer.WriteAsync([Row("a"), Row("b")], default);

        Assert.Equal([["a", "b"]], store.Committed);
    }

    [Fact]
    public async Task Store_fails_Who_waits_is_told_and_the_rows_count_as_lost_until_it_works_again()
    {
        store.Failure = new("the disk is full");
        store.Let(3); // the second row may be written alone

        var failure = await Assert.ThrowsAsync<StoreException>(() => writer.WriteAsync([Row("a"), Row("b")], default).AsTask());
        writer.Post(Row("c"));
        await Assert.ThrowsAsync<StoreException>(() => writer.WriteAsync([], default).AsTask());
        Assert.Equal(("the disk is full", "the disk is full", 3L), (failure.Message, writer.Problem, writer.Lost));

        store.Failure = null;
        store.Let(9);
        await writer.WriteAsync([Row("d")], default);
        Assert.Equal((null, 3L), (writer.Problem, writer.Lost));
        Assert.Equal([["d"]], store.Committed);
    }

    [Fact]
    public async Task Store_has_a_bug_Calls_still_end()
    {
        store.Bug = true;
        store.Let(1);

        await Assert.ThrowsAsync<StoreException>(() => writer.WriteAsync([Row("a")], default).AsTask());

        store.Bug = false;
        store.Let(1);
        await writer.WriteAsync([Row("b")], default);
        Assert.Equal(1, writer.Lost);
    }

    [Fact]
    public async Task Too_many_rows_wait_Further_ones_are_lost_at_once_and_the_others_are_not()
    {
        writer.Post(Row("first"));
        await store.Began();
        for (var i = 0; i < RecordWriter.MostRows; i++) writer.Post(Row($"{i}"));

        await Assert.ThrowsAsync<StoreException>(() => writer.WriteAsync([Row("late")], default).AsTask());
        Assert.Equal((1L, RecordWriter.MostRows), (writer.Lost, writer.Waiting));

        store.Let(9);
        await writer.WriteAsync([], default);
        Assert.Equal(1 + RecordWriter.MostRows, store.Committed.Sum(static group => group.Count));
    }

    [Fact]
    public async Task Too_many_bytes_wait_Further_ones_are_lost()
    {
        writer.Post(Row("first"));
        await store.Began();
        for (var i = 0; i < 4; i++) writer.Post(Row($"{i}") with { Answer = new byte[RecordWriter.MostBytes / 4 - 1024] });

        writer.Post(Row("large") with { Answer = new byte[8192] });
        writer.Post(Row("small"));

        Assert.Equal((1L, 5), (writer.Lost, writer.Waiting));
    }

    [Fact]
    public async Task Caller_does_not_wait_any_more_The_row_is_written_all_the_same()
    {
        using var left = new CancellationTokenSource();
        var writing = writer.WriteAsync([Row("a")], left.Token).AsTask();
        await store.Began();

        await left.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => writing);
        store.Let(2);
        await writer.WriteAsync([], default);

        Assert.Equal(["a"], store.Committed[0]);
    }

    [Fact]
    public async Task Disposed_What_waits_is_written_and_the_store_is_closed()
    {
        writer.Post(Row("a"));
        await store.Began();
        writer.Post(Row("b"));
        var disposing = Task.Run(writer.Dispose);
        Assert.False(store.IsDisposed);

        store.Let(2);
        await Patience.For(disposing, "the writer is disposed");

        Assert.Equal([["a"], ["b"]], store.Committed);
        Assert.True(store.IsDisposed);
        await Assert.ThrowsAsync<StoreException>(() => writer.WriteAsync([Row("c")], default).AsTask());
    }

    [Fact]
    public async Task Store_cannot_be_opened_It_is_tried_again()
    {
        store.Failure = new("there is no such folder");
        store.Let(9);
        using var stop = new CancellationTokenSource();
        var running = writer.RunAsync(stop.Token);
        await Patience.Until(() => Task.FromResult(writer.Problem is not null), "the first try");

        store.Failure = null;
        await Patience.Until(() =>
        {
            time.Advance(TimeSpan.FromSeconds(10));
            return Task.FromResult(writer.Problem is null);
        }, "another try");

        await stop.CancelAsync();
        await running;
        Assert.Equal(0, writer.Lost);
    }

    [Fact]
    public async Task Start_and_each_hour_Expired_rows_are_deleted()
    {
        store.Let(9);
        using var stop = new CancellationTokenSource();
        var running = writer.RunAsync(stop.Token);

        await Patience.Until(() =>
        {
            if (store.Prunes > 0) time.Advance(TimeSpan.FromMinutes(10));
            return Task.FromResult(store.Prunes > 1);
        }, "the store is pruned");

        await stop.CancelAsync();
        await running;
    }

    private static ExchangeRow Row(string traceId) => new()
    {
        TraceId = traceId, CorrelationId = "c", Owner = "o", Surface = "/", Model = "m", Route = "direct", Status = "ok", Started = default, DurationMs = 1,
    };

    /// <summary>A store in which each transaction waits for the test.</summary>
    private sealed class SlowStore : IRecordStore
    {
        private readonly SemaphoreSlim allowed = new(0);
        private readonly TaskCompletionSource began = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public List<List<string>> Committed { get; } = [];

        public StoreException? Failure { get; set; }

        public bool Bug { get; set; }

        public bool IsDisposed { get; private set; }

        public int Prunes { get; private set; }

        public void Let(int transactions) => allowed.Release(transactions);

        public Task Began() => Patience.For(began.Task, "a transaction");

        public async ValueTask CommitAsync(IReadOnlyList<StoreRow> rows, CancellationToken cancellation)
        {
            began.TrySetResult();
            await allowed.WaitAsync(cancellation);
            if (Bug) throw new InvalidOperationException("a bug");
            if (Failure is { } failure) throw failure;
            if (rows.Count > 0) Committed.Add([.. rows.Cast<ExchangeRow>().Select(static row => row.TraceId)]);
        }

        public ValueTask PruneAsync(CancellationToken cancellation)
        {
            Prunes++;
            return default;
        }

        public ValueTask DisposeAsync()
        {
            IsDisposed = true;
            return default;
        }

        public ValueTask<IReadOnlyList<string>> CheckAsync(CancellationToken cancellation) => throw new NotSupportedException();

        public ValueTask<KeyRow?> FindKeyAsync(string owner, string key, CancellationToken cancellation) => throw new NotSupportedException();

        public ValueTask<AnswerRow?> FindAnswerAsync(string owner, string id, CancellationToken cancellation) => throw new NotSupportedException();

        public ValueTask<bool> DeleteAnswerAsync(string owner, string id, CancellationToken cancellation) => throw new NotSupportedException();

        public ValueTask<CompletionRow?> FindCompletionAsync(string owner, string requestId, CancellationToken cancellation) =>
            throw new NotSupportedException();

        public ValueTask<IReadOnlyList<UsageRow>> ReadUsageAsync(string? owner, DateOnly from, DateOnly to, CancellationToken cancellation) =>
            throw new NotSupportedException();

        public ValueTask<long> ForgetAsync(string owner, CancellationToken cancellation) => throw new NotSupportedException();
    }
}
