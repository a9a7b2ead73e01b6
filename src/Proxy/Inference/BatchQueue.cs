using Proxy.Vectors;

namespace Proxy.Inference;

/// <summary>Computes batches. Several threads call it at the same time: see <see cref="BatchQueue"/>.</summary>
internal interface IBatchRunner
{
    /// <summary>Computes the sequences together and gives each result to its call. Throws if the computation fails.</summary>
    void Run(List<Sequence> batch);

    /// <summary>Called when there was no work for a while, so that memory can be freed.</summary>
    void Rest();
}

/// <summary>
/// The queue of one model. Two workers take bulk work, and small calls if there is none; two, because one batch does not keep all cores busy (no operator
/// parallelizes perfectly). One more thread takes only small calls, so that a user who waits for one vector does not wait for a batch of another client's ten
/// thousand texts. Background calls are computed when there is nothing else to do.
/// </summary>
internal sealed class BatchQueue : IDisposable
{
    /// <summary>The most sequences in a call that counts as small, which is one that a user waits for.</summary>
    internal const int SmallCall = 4;

    /// <summary>The most tokens in a call that counts as small.</summary>
    internal const int SmallTokens = 256;

    /// <summary>Time without work after which memory is freed.</summary>
    private static readonly TimeSpan Quiet = TimeSpan.FromSeconds(2);

    private static readonly LinkedList<Sequence> Nothing = new();

    private readonly Lock gate = new();
    private readonly LinkedList<Sequence> small = new();
    private readonly LinkedList<Sequence> bulk = new();
    private readonly LinkedList<Sequence> background = new();
    private readonly SemaphoreSlim smallReady = new(0);
    private readonly SemaphoreSlim bulkReady = new(0);
    private readonly IBatchRunner runner;
    private readonly int limit;
    private readonly int workers;
    private bool isClosed;
    private int waiting;
    private int running;
    private int bulkRunning;

    /// <param name="tokens">Tokens that the workers compute at once, padding included; the thread for small calls adds <see cref="SmallTokens"/>.</param>
    /// <param name="limit">Sequences that may wait.</param>
    public BatchQueue(string name, IBatchRunner runner, int tokens, int limit, int workers)
    {
        (this.runner, this.limit, this.workers) = (runner, limit, workers);
        Start($"{name} small", new BatchPlanner(Math.Min(tokens, SmallTokens)), isBulk: false);
        for (var i = 0; i < workers; i++) Start($"{name} bulk", new BatchPlanner(tokens / workers), isBulk: true);
    }

    public int Waiting => Volatile.Read(ref waiting);

    /// <summary>
    /// Queues the call's sequences; false if too many are waiting. A call larger than the whole queue is accepted if the queue is empty.
    /// </summary>
    public bool TryEnqueue(BatchCall call)
    {
        var sequences = call.Sequences;
        call.Begin();
        var isSmall = !call.IsBackground && sequences.Count <= SmallCall && sequences.Sum(static sequence => sequence.Length) <= SmallTokens;
        bool help;
        lock (gate)
        {
            if (isClosed || (waiting > 0 && waiting + sequences.Count > limit)) return false;
            Volatile.Write(ref waiting, waiting + sequences.Count);
            var line = isSmall ? small : call.IsBackground ? background : bulk;
            foreach (var sequence in sequences) line.AddLast(sequence);
            help = !isSmall || running > 0 || small.Count > sequences.Count;
        }

        if (isSmall) Signal(smallReady, 1);
        if (help) Signal(bulkReady, workers);
        return true;
    }

    /// <summary>Removes the remaining sequences of a call from the queue.</summary>
    public void Forget(BatchCall call)
    {
        lock (gate)
        {
            foreach (var line in (LinkedList<Sequence>[])[small, bulk, background])
            {
                for (var node = line.First; node is not null;)
                {
                    var next = node.Next;
                    if (node.Value.Call == call)
                    {
                        line.Remove(node);
                        Volatile.Write(ref waiting, waiting - 1);
                    }

                    node = next;
                }
            }
        }
    }

    public void Dispose()
    {
        List<Sequence> left;
        lock (gate)
        {
            isClosed = true;
            left = [.. small, .. bulk, .. background];
            small.Clear();
            bulk.Clear();
            background.Clear();
        }

        foreach (var sequence in left) sequence.Call.Fail(new(VectorErrorKind.Failed, "the model is being unloaded"));
        smallReady.Release();
        bulkReady.Release(workers);
    }

    /// <summary>Wakes the waiting threads. One signal too many is harmless, one too few is not.</summary>
    private static void Signal(SemaphoreSlim ready, int sleepers)
    {
        if (sleepers - ready.CurrentCount is > 0 and var missing) ready.Release(missing);
    }

    private void Start(string name, BatchPlanner planner, bool isBulk) => new Thread(() => Serve(planner, isBulk)) { IsBackground = true, Name = name }.Start();

    private void Serve(BatchPlanner planner, bool isBulk)
    {
        if (isBulk) NativeRuntime.StepBack(); // calls for one vector, and chats, should find a free core
        var ready = isBulk ? bulkReady : smallReady;
        var batch = new List<Sequence>();
        var hasRested = true;
        while (true)
        {
            bool takesBulk;
            lock (gate)
            {
                if (isClosed) return;
                var line = NextLine(isBulk);
                var dropped = planner.Take(line, batch);
                Volatile.Write(ref waiting, waiting - dropped - batch.Count);
                takesBulk = line == bulk || line == background;
                if (batch.Count > 0) running++;
                if (batch.Count > 0 && takesBulk) bulkRunning++;
                // Small calls may have waited while both workers computed small calls; now that one computes bulk work, the third thread may start.
                if (takesBulk && small.Count > 0) Signal(smallReady, 1);
            }

            if (batch.Count == 0)
            {
                if (ready.Wait(hasRested ? Timeout.InfiniteTimeSpan : Quiet)) continue;
                if (IsIdle()) runner.Rest();
                hasRested = true;
                continue;
            }

            hasRested = false;
            try
            {
                runner.Run(batch);
            }
            catch (Exception problem)
            {
                foreach (var sequence in batch) sequence.Call.Fail(new(VectorErrorKind.Failed, problem.Message));
            }

            lock (gate)
            {
                running--;
                if (takesBulk) bulkRunning--;
            }
        }
    }

    /// <summary>The third thread computes only if a small call would otherwise have to wait for bulk work; else at most <c>workers</c> batches run.</summary>
    private LinkedList<Sequence> NextLine(bool isBulk)
    {
        if (isBulk && bulk.Count > 0) return bulk;
        if (isBulk && (small.Count == 0 || running >= workers)) return background;
        return running < workers || (!isBulk && bulkRunning > 0) ? small : Nothing;
    }

    private bool IsIdle()
    {
        lock (gate) return running == 0 && waiting == 0;
    }
}
