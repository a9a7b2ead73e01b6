using Proxy.Vectors;

namespace Proxy.Inference;

/// <summary>Computes batches. Called by several threads at a time: see <see cref="BatchQueue"/>.</summary>
internal interface IBatchRunner
{
    /// <summary>Computes them together and gives each result to its call. Throws when the computation fails.</summary>
    void Run(List<Sequence> batch);

    /// <summary>Nothing has been asked for a while: a chance to give memory back.</summary>
    void Rest();
}

/// <summary>
/// The line before one model. Workers take the bulk, and small calls when there is none; two of them, since what one batch leaves of the
/// cores (no operator shares itself out perfectly) the other takes. One more thread takes only small calls, so that a person who waits
/// for one vector does not wait for a batch of somebody's ten thousand.
/// </summary>
internal sealed class BatchQueue : IDisposable
{
    /// <summary>A call that is no larger is somebody waiting.</summary>
    internal const int SmallCall = 4;

    /// <inheritdoc cref="SmallCall"/>
    internal const int SmallTokens = 256;

    /// <summary>Quiet time after which memory is given back.</summary>
    private static readonly TimeSpan Quiet = TimeSpan.FromSeconds(2);

    private static readonly LinkedList<Sequence> Nothing = new();

    private readonly Lock gate = new();
    private readonly LinkedList<Sequence> small = new();
    private readonly LinkedList<Sequence> bulk = new();
    private readonly SemaphoreSlim smallReady = new(0);
    private readonly SemaphoreSlim bulkReady = new(0);
    private readonly IBatchRunner runner;
    private readonly int limit;
    private readonly int workers;
    private bool isClosed;
    private int waiting;
    private int running;
    private int bulkRunning;

    /// <param name="tokens">Tokens that the workers compute at once, padding included; the small calls' thread adds <see cref="SmallTokens"/>.</param>
    /// <param name="limit">Sequences that may wait.</param>
    public BatchQueue(string name, IBatchRunner runner, int tokens, int limit, int workers)
    {
        (this.runner, this.limit, this.workers) = (runner, limit, workers);
        Start($"{name} small", new BatchPlanner(Math.Min(tokens, SmallTokens)), isBulk: false);
        for (var i = 0; i < workers; i++) Start($"{name} bulk", new BatchPlanner(tokens / workers), isBulk: true);
    }

    public int Waiting => Volatile.Read(ref waiting);

    /// <summary>
    /// Puts the call's sequences into the line; false when there are too many there. A call larger than the whole line is taken when it is alone.
    /// </summary>
    public bool TryEnqueue(BatchCall call)
    {
        var sequences = call.Sequences;
        call.Begin();
        var isSmall = sequences.Count <= SmallCall && sequences.Sum(static sequence => sequence.Length) <= SmallTokens;
        bool help;
        lock (gate)
        {
            if (isClosed || (waiting > 0 && waiting + sequences.Count > limit)) return false;
            Volatile.Write(ref waiting, waiting + sequences.Count);
            var line = isSmall ? small : bulk;
            foreach (var sequence in sequences) line.AddLast(sequence);
            help = !isSmall || running > 0 || small.Count > sequences.Count;
        }

        if (isSmall) Signal(smallReady, 1);
        if (help) Signal(bulkReady, workers);
        return true;
    }

    /// <summary>Takes what is left of a call out of the line.</summary>
    public void Forget(BatchCall call)
    {
        lock (gate)
        {
            foreach (var line in (LinkedList<Sequence>[])[small, bulk])
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
            left = [.. small, .. bulk];
            small.Clear();
            bulk.Clear();
        }

        foreach (var sequence in left) sequence.Call.Fail(new(VectorErrorKind.Failed, "the model is being unloaded"));
        smallReady.Release();
        bulkReady.Release(workers);
    }

    /// <summary>Wakes who sleeps. One signal too many is harmless, one too few is not.</summary>
    private static void Signal(SemaphoreSlim ready, int sleepers)
    {
        if (sleepers - ready.CurrentCount is > 0 and var missing) ready.Release(missing);
    }

    private void Start(string name, BatchPlanner planner, bool isBulk) => new Thread(() => Serve(planner, isBulk)) { IsBackground = true, Name = name }.Start();

    private void Serve(BatchPlanner planner, bool isBulk)
    {
        if (isBulk) NativeRuntime.StepBack(); // whoever waits for one vector, or for a chat, finds a core
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
                takesBulk = line == bulk;
                if (batch.Count > 0) running++;
                if (batch.Count > 0 && takesBulk) bulkRunning++;
                // Small calls may have waited for the two that computed such calls; the bulk they must not wait for.
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

    /// <summary>More batches at once than there are workers only where somebody would have to wait for the bulk.</summary>
    private LinkedList<Sequence> NextLine(bool isBulk)
    {
        if (isBulk && bulk.Count > 0) return bulk;
        return running < workers || (!isBulk && bulkRunning > 0) ? small : Nothing;
    }

    private bool IsIdle()
    {
        lock (gate) return running == 0 && waiting == 0;
    }
}
