using System.Collections.Concurrent;
using Proxy.Inference;
using Proxy.Vectors;
using static Proxy.Tests.Inference.BatchPlannerTests;

namespace Proxy.Tests.Inference;

public sealed class BatchQueueTests
{
    private static readonly TimeSpan Long = TimeSpan.FromSeconds(20);

    [Fact]
    public async Task A_call_Ends_when_all_of_it_is_computed()
    {
        using var runner = new HandRunner();
        using var queue = new BatchQueue("test", runner, tokens: 64, limit: 100, workers: 1);
        var call = Call(20, 16); // five batches

        Assert.True(queue.TryEnqueue(call));
        for (var i = 0; i < 4; i++) runner.LetOne();
        Assert.False(call.Completion.IsCompleted);
        runner.LetOne();

        Assert.Null(await call.Completion.WaitAsync(Long, TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task A_small_call_Does_not_wait_for_the_bulk()
    {
        using var runner = new HandRunner(static batch => batch[0].Length == 16);
        using var queue = new BatchQueue("test", runner, tokens: 64, limit: 1000, workers: 1);
        var bulk = Call(200, 16);
        Assert.True(queue.TryEnqueue(bulk));
        runner.WaitUntilHeld();

        var small = Call(1, 8);
        Assert.True(queue.TryEnqueue(small));

        Assert.Null(await small.Completion.WaitAsync(Long, TestContext.Current.CancellationToken));
        Assert.False(bulk.Completion.IsCompleted);
        runner.LetAll();
        Assert.Null(await bulk.Completion.WaitAsync(Long, TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task A_background_call_Waits_for_calls_that_came_after_it()
    {
        using var runner = new HandRunner();
        using var queue = new BatchQueue("test", runner, tokens: 64, limit: 1000, workers: 1);
        var first = Call(4, 16); // one batch, held
        Assert.True(queue.TryEnqueue(first));
        runner.WaitUntilHeld();
        var background = Call(4, 16);
        background.IsBackground = true;
        Assert.True(queue.TryEnqueue(background));
        var bulk = Call(8, 16); // two batches
        Assert.True(queue.TryEnqueue(bulk));

        for (var i = 0; i < 3; i++) runner.LetOne();

        Assert.Null(await bulk.Completion.WaitAsync(Long, TestContext.Current.CancellationToken));
        Assert.False(background.Completion.IsCompleted);
        runner.LetAll();
        Assert.Null(await background.Completion.WaitAsync(Long, TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task Two_workers_Share_the_bulk_and_the_tokens_and_a_small_call_waits_for_neither()
    {
        using var runner = new HandRunner(static batch => batch[0].Length == 16);
        using var queue = new BatchQueue("test", runner, tokens: 128, limit: 1000, workers: 2);
        var bulk = Call(200, 16);
        Assert.True(queue.TryEnqueue(bulk));
        runner.WaitUntilHeld();
        runner.WaitUntilHeld();
        Assert.Equal(200 - 2 * 4, queue.Waiting);

        var small = Call(1, 8);
        Assert.True(queue.TryEnqueue(small));

        Assert.Null(await small.Completion.WaitAsync(Long, TestContext.Current.CancellationToken));
        runner.LetAll();
        Assert.Null(await bulk.Completion.WaitAsync(Long, TestContext.Current.CancellationToken));
        Assert.Equal(2, runner.MostAtOnce);
    }

    [Fact]
    public async Task Small_calls_alone_Are_no_more_batches_at_once_than_there_are_workers()
    {
        using var runner = new HandRunner();
        using var queue = new BatchQueue("test", runner, tokens: 128, limit: 1000, workers: 2);
        var calls = Enumerable.Range(0, 40).Select(static _ => Call(1, 60)).ToArray();
        Assert.All(calls, call => Assert.True(queue.TryEnqueue(call)));
        runner.WaitUntilHeld();
        runner.WaitUntilHeld();

        runner.LetAll();

        foreach (var call in calls) Assert.Null(await call.Completion.WaitAsync(Long, TestContext.Current.CancellationToken));
        Assert.Equal(2, runner.MostAtOnce);
    }

    [Fact]
    public async Task A_full_line_Refuses_at_once()
    {
        using var runner = new HandRunner();
        using var queue = new BatchQueue("test", runner, tokens: 64, limit: 50, workers: 1);
        var first = Call(40, 16);
        Assert.True(queue.TryEnqueue(first));

        Assert.False(queue.TryEnqueue(Call(20, 16)));
        runner.LetAll();
        Assert.Null(await first.Completion.WaitAsync(Long, TestContext.Current.CancellationToken));
        Assert.True(queue.TryEnqueue(Call(80, 16))); // by itself, a call may be larger than the queue
    }

    [Fact]
    public async Task A_caller_who_leaves_Frees_its_work()
    {
        using var runner = new HandRunner();
        using var queue = new BatchQueue("test", runner, tokens: 64, limit: 1000, workers: 1);
        var leaving = Call(400, 16);
        Assert.True(queue.TryEnqueue(leaving));
        runner.WaitUntilHeld();

        leaving.Leave(new CancellationToken(true));
        queue.Forget(leaving);

        Assert.Equal(0, queue.Waiting);
        runner.LetAll();
        var next = Call(8, 16);
        Assert.True(queue.TryEnqueue(next));
        Assert.Null(await next.Completion.WaitAsync(Long, TestContext.Current.CancellationToken));
        Assert.True(runner.Computed <= 4 + 8, $"{runner.Computed} were computed");
    }

    [Fact]
    public async Task A_computation_that_fails_Fails_its_calls_alone()
    {
        using var runner = new HandRunner(hold: static _ => false, fails: static batch => batch[0].Length == 13);
        using var queue = new BatchQueue("test", runner, tokens: 64, limit: 1000, workers: 1);
        var (bad, good) = (Call(1, 13), Call(10, 16));

        Assert.True(queue.TryEnqueue(bad) && queue.TryEnqueue(good));

        Assert.Equal(VectorErrorKind.Failed, (await bad.Completion.WaitAsync(Long, TestContext.Current.CancellationToken))!.Kind);
        Assert.Null(await good.Completion.WaitAsync(Long, TestContext.Current.CancellationToken));
    }

    private static NoCall Call(int count, int length)
    {
        var call = new NoCall();
        call.Sequences = [.. Enumerable.Range(0, count).Select(i => Of(call, length, i))];
        return call;
    }

    /// <summary>A runner that computes nothing, and finishes a batch only when the test lets it.</summary>
    private sealed class HandRunner(Func<List<Sequence>, bool>? hold = null, Func<List<Sequence>, bool>? fails = null) : IBatchRunner, IDisposable
    {
        private readonly SemaphoreSlim let = new(0);
        private readonly SemaphoreSlim done = new(0);
        private readonly SemaphoreSlim held = new(0);
        private int computed;
        private int heldNow;
        private int most;

        /// <summary>The highest number of batches that were held at the same time.</summary>
        public int MostAtOnce => Volatile.Read(ref most);

        public int Computed => Volatile.Read(ref computed);

        public void Run(List<Sequence> batch)
        {
            if (hold?.Invoke(batch) ?? true)
            {
                lock (held) most = Math.Max(most, ++heldNow);
                held.Release();
                let.Wait();
                lock (held) heldNow--;
            }

            if (fails?.Invoke(batch) == true) throw new InvalidOperationException("told to fail");
            foreach (var sequence in batch) sequence.Call.Give(sequence.Index, [], 0);
            Interlocked.Add(ref computed, batch.Count);
            done.Release();
        }

        public void Rest()
        {
        }

        public void WaitUntilHeld() => Assert.True(held.Wait(Long));

        /// <summary>Lets one batch through and waits for its end.</summary>
        public void LetOne()
        {
            let.Release();
            Assert.True(done.Wait(Long));
        }

        public void LetAll() => let.Release(100_000);

        public void Dispose() => LetAll();
    }
}
