namespace Proxy.Workflows;

/// <summary>
/// Puts a job's events in order: by their numbers within an attempt. An event that came twice, or from an earlier attempt than the newest, is dropped. One that
/// came too early waits for those before it, within a bound. Events without a number pass as they come.
/// </summary>
internal sealed class EventOrder
{
    /// <summary>Events that may wait for an earlier one.</summary>
    public const int MostWaiting = 1024;

    /// <summary>How long they may wait.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(1);

    private readonly Dictionary<long, JobEvent> waiting = [];
    private readonly Queue<JobEvent> ready = new();
    private long next = 1;
    private bool hasBegun;

    /// <summary>The newest attempt that was seen.</summary>
    public long Attempt { get; private set; } = 1;

    /// <summary>Events wait for one that has not come.</summary>
    public bool HasGap => waiting.Count > 0;

    /// <summary>Takes an event. False: it is dropped.</summary>
    /// <param name="happened">The event.</param>
    /// <param name="isNewer">It is the first of a newer attempt: what came before it is of no use any more.</param>
    public bool Add(JobEvent happened, out bool isNewer)
    {
        var attempt = happened.Attempt ?? Attempt;
        isNewer = attempt > Attempt;
        if (attempt < Attempt) return false;
        if (isNewer)
        {
            (Attempt, next, hasBegun) = (attempt, 1, false);
            Discard();
        }

        if (happened.Seq is not { } seq)
        {
            ready.Enqueue(happened);
            return true;
        }

        if (!hasBegun && seq is 0) next = 0; // some count from 0
        if (seq < next || !waiting.TryAdd(seq, happened)) return false;
        Release();
        if (waiting.Count > MostWaiting) GiveUp();
        return true;
    }

    /// <summary>Goes on without the events that have not come. Returns the number with which it goes on.</summary>
    public long GiveUp()
    {
        var first = long.MaxValue;
        foreach (var seq in waiting.Keys) first = Math.Min(first, seq);
        next = first;
        Release();
        return first;
    }

    /// <summary>Drops what has not been taken.</summary>
    public void Discard()
    {
        waiting.Clear();
        ready.Clear();
    }

    /// <summary>Adds an event after all others.</summary>
    public void AddLast(JobEvent happened) => ready.Enqueue(happened);

    public bool TryTake(out JobEvent? happened) => ready.TryDequeue(out happened);

    private void Release()
    {
        while (waiting.Remove(next, out var happened))
        {
            ready.Enqueue(happened);
            (next, hasBegun) = (next + 1, true);
        }
    }
}
