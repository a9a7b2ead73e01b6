namespace Proxy.Nats;

/// <summary>One timer for the batches of all calls; it is stopped while no batch is open. Thread-safe.</summary>
internal sealed class BatchClock : IDisposable
{
    private readonly Lock gate = new();
    private readonly TimeSpan period;
    private readonly ITimer timer;
    private List<EventBatch> open = [];
    private List<EventBatch> ripe = [];
    private bool running;

    /// <param name="time">The clock.</param>
    /// <param name="period">How long a batch may stay open.</param>
    public BatchClock(TimeProvider time, TimeSpan period)
    {
        this.period = period;
        timer = time.CreateTimer(static state => ((BatchClock)state!).Round(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Whether events are collected at all.</summary>
    public bool Collects => period > TimeSpan.Zero;

    /// <summary>Has the batch flushed after at most one period.</summary>
    public void Add(EventBatch batch)
    {
        lock (gate)
        {
            open.Add(batch);
            if (running) return;
            running = true;
            timer.Change(period, Timeout.InfiniteTimeSpan);
        }
    }

    public void Dispose() => timer.Dispose();

    private void Round()
    {
        lock (gate) (open, ripe) = (ripe, open);
        foreach (var batch in ripe) batch.FlushByClock();
        ripe.Clear();
        lock (gate)
        {
            running = open.Count > 0;
            if (running) timer.Change(period, Timeout.InfiniteTimeSpan);
        }
    }
}
