using System.Diagnostics.CodeAnalysis;
using Proxy.Buffers;

namespace Proxy.Streams;

/// <summary>
/// The journals of this process, by trace id and by <c>Idempotency-Key</c>. Bounded in memory: first whole finished answers go, the oldest first; then the
/// largest running one can no longer be resumed. A part of an answer is never kept without its beginning. Thread-safe.
/// </summary>
internal sealed class JournalTable : IDisposable
{
    /// <summary>Ids of answers that were kept and are gone: their readers are told so.</summary>
    private const int MostGone = 10_000;

    private static readonly TimeSpan Period = TimeSpan.FromMilliseconds(100);

    private readonly Lock gate = new();
    private readonly Dictionary<string, AnswerJournal> journals = [];
    private readonly Dictionary<(string Owner, string Key), AnswerJournal> keys = [];
    private readonly Dictionary<(string Owner, string Name), AnswerJournal> names = [];
    private readonly SortedDictionary<long, AnswerJournal> finished = []; // by number: the oldest first
    private readonly List<AnswerJournal> unclaimed = [];
    private readonly Dictionary<string, string> gone = [];
    private readonly Queue<string> goneInOrder = new();
    private readonly Func<long> limit;
    private readonly ITimer timer;
    private long used;
    private long opened;
    private bool ticks;
    private List<AnswerJournal>? spare; // for the journals of the next tick

    /// <param name="time">The clock.</param>
    /// <param name="limit">The number of bytes that may be kept.</param>
    public JournalTable(TimeProvider time, Func<long> limit)
    {
        Time = time;
        this.limit = limit;
        timer = time.CreateTimer(static state => ((JournalTable)state!).Tick(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    public TimeProvider Time { get; }

    /// <summary>Milliseconds from an arbitrary start.</summary>
    public long Now => Clock(Time);

    /// <summary>Bytes that are kept.</summary>
    public long Used => Interlocked.Read(ref used);

    /// <summary>Answers that no client has received any of, and that wait for a retry. Read by every call, without the lock.</summary>
    public int Unclaimed { get; private set; }

    public int Count { get { lock (gate) return journals.Count; } }

    /// <summary>The same of a clock. That of the system is read by each event: a coarse one is enough.</summary>
    public static long Clock(TimeProvider time) => time == TimeProvider.System ? Environment.TickCount64 : (long)time.GetElapsedTime(0).TotalMilliseconds;

    /// <summary>Begins a journal.</summary>
    public AnswerJournal Open(JournalOrigin origin)
    {
        AnswerJournal journal;
        lock (gate)
        {
            journal = new AnswerJournal(origin, this, ++opened);
            Add(journal);
        }

        ChargeRequest(journal);
        return journal;
    }

    /// <summary>Begins a journal for a call with an <c>Idempotency-Key</c>, or finds the one that has that key.</summary>
    /// <returns>The journal, and whether it is new.</returns>
    public (AnswerJournal Journal, bool IsNew) Claim(JournalOrigin origin)
    {
        AnswerJournal journal;
        lock (gate)
        {
            if (keys.TryGetValue((origin.Owner, origin.Key!), out var there) && there is { IsReadable: true, IsAnswer: true, IsGivenUp: false })
                return (there, false);
            journal = new AnswerJournal(origin, this, ++opened);
            Add(journal);
            keys[(origin.Owner, origin.Key!)] = journal;
        }

        ChargeRequest(journal);
        return (journal, true);
    }

    /// <summary>The journal that has an <c>Idempotency-Key</c>; null: none does.</summary>
    public AnswerJournal? FindKeyed(string owner, string key)
    {
        lock (gate) return keys.TryGetValue((owner, key), out var there) && there is { IsReadable: true, IsAnswer: true, IsGivenUp: false } ? there : null;
    }

    /// <summary>Begins a conversation's journal in the place of the one that it had.</summary>
    public (AnswerJournal Journal, AnswerJournal? Previous) Replace(JournalOrigin origin)
    {
        lock (gate)
        {
            var previous = journals.GetValueOrDefault(origin.Id);
            if (previous is not null) Forget(previous);
            var journal = new AnswerJournal(origin, this, ++opened);
            Add(journal);
            return (journal, previous);
        }
    }

    /// <summary>The journals of an owner's conversations.</summary>
    public IReadOnlyList<AnswerJournal> Conversations(string owner, Predicate<string> id)
    {
        lock (gate)
            return [.. journals.Values.Where(journal => journal.Origin.Conversation is { } conversation && journal.Origin.Owner == owner && id(conversation))];
    }

    /// <summary>Begins a journal that another process fills, or finds the one of this answer.</summary>
    /// <returns>The journal, and whether it is new.</returns>
    public (AnswerJournal Journal, bool IsNew) Mirror(JournalOrigin origin)
    {
        lock (gate)
        {
            if (journals.TryGetValue(origin.Id, out var there)) return (there, false);
            var journal = new AnswerJournal(origin, this, ++opened);
            Add(journal);
            return (journal, true);
        }
    }

    /// <summary>A journal that has just begun gets the answer to another call: it is found by that call's id from now on.</summary>
    public void Adopt(AnswerJournal journal, JournalOrigin origin)
    {
        lock (gate)
        {
            if (journals.GetValueOrDefault(journal.Origin.Id) == journal) journals.Remove(journal.Origin.Id);
            if (journals.TryGetValue(origin.Id, out var other)) Forget(other); // its readers go on
            journal.Origin = origin;
            Add(journal);
        }
    }

    /// <summary>Finds an answer by its trace id. Another owner's is not found.</summary>
    /// <param name="traceId">The id.</param>
    /// <param name="owner">Who asks; null finds any owner's.</param>
    /// <param name="journal">The journal.</param>
    /// <param name="isGone">It was kept and is not kept any more.</param>
    public bool TryFind(string traceId, string? owner, [NotNullWhen(true)] out AnswerJournal? journal, out bool isGone)
    {
        lock (gate)
        {
            isGone = gone.TryGetValue(traceId, out var before) && (owner is null || before == owner);
            if (!journals.TryGetValue(traceId, out journal) || (owner is not null && journal.Origin.Owner != owner)) journal = null;
            if (journal is { Origin.Resumable: true, IsReadable: false }) (journal, isGone) = (null, true);
        }

        return journal is { Origin.Resumable: true };
    }

    /// <summary>Finds an answer by one of its names. Another owner's is not found.</summary>
    /// <param name="name">The name: the id that the host or this proxy gave the answer.</param>
    /// <param name="owner">Who asks.</param>
    /// <param name="isGone">It was kept and is not kept any more.</param>
    public AnswerJournal? FindNamed(string name, string owner, out bool isGone)
    {
        lock (gate)
        {
            var found = names.GetValueOrDefault((owner, name));
            isGone = found is { IsReadable: false } || (found is null && gone.TryGetValue(name, out var before) && before == owner);
            return found is { IsReadable: true } ? found : null;
        }
    }

    /// <summary>Gives an answer a name by which it is found. A newer answer takes the name from an older one of the same owner.</summary>
    public void Name(AnswerJournal journal, string name)
    {
        lock (gate)
        {
            if (journal.Names.Contains(name) || !journals.ContainsKey(journal.Origin.TraceId)) return;
            journal.Names.Add(name);
            names[(journal.Origin.Owner, name)] = journal;
        }
    }

    /// <summary>Adds a finished answer that was kept elsewhere, unless it is here.</summary>
    /// <param name="origin">The answer's call.</param>
    /// <param name="fill">Adds the frames, and ends the journal.</param>
    public AnswerJournal Restore(JournalOrigin origin, Action<AnswerJournal> fill)
    {
        AnswerJournal journal;
        lock (gate) journal = new AnswerJournal(origin, this, ++opened);
        fill(journal);
        ChargeRequest(journal);
        lock (gate)
        {
            if (journals.TryGetValue(origin.TraceId, out var there))
            {
                journal.StopCounting();
                return there;
            }

            Add(journal);
            return journal;
        }
    }

    /// <summary>Adds a finished answer of another process of this proxy, unless it is here, and gives it its key and the place of its conversation.</summary>
    /// <param name="origin">The answer's call.</param>
    /// <param name="fill">Adds the frames, and ends the journal.</param>
    public void TakeOver(JournalOrigin origin, Action<AnswerJournal> fill)
    {
        AnswerJournal journal;
        lock (gate)
        {
            if (journals.ContainsKey(origin.Id)) return; // a conversation has gone on here
            journal = new AnswerJournal(origin, this, ++opened);
        }

        fill(journal);
        lock (gate)
        {
            if (journals.ContainsKey(origin.Id))
            {
                journal.StopCounting();
                return;
            }

            Add(journal);
            if (origin.Key is { } key && journal.IsAnswer) keys.TryAdd((origin.Owner, key), journal);
        }
    }

    /// <summary>The finished answers that clients can read again, without those that have a request of their own.</summary>
    public IReadOnlyList<AnswerJournal> Finished()
    {
        lock (gate)
        {
            return [.. finished.Values.Where(static journal => journal is { IsReadable: true, IsDeleted: false, Origin.Request: null }
                && journal.Head?.Stamp.Request is null
                && (journal.Origin.Resumable || journal.Origin.Key is not null || journal.Origin.Conversation is not null))];
        }
    }

    /// <summary>Enters the answer that waits for a retry with this digest; null: none does.</summary>
    public AnswerJournal? EnterUnclaimed(string owner, string digest)
    {
        AnswerJournal? found;
        lock (gate) found = unclaimed.Find(journal => journal.IsJoinable && journal.Origin.Owner == owner && journal.Origin.Digest == digest);
        return found?.Enter() == true ? found : null;
    }

    /// <summary>The last client of a journal has left before it saw anything, or a new one has come.</summary>
    public void UpdateUnclaimed(AnswerJournal journal)
    {
        lock (gate)
        {
            unclaimed.Remove(journal);
            var waits = journal is { HasClients: false, WasSeen: false, Origin.Digest.Length: > 0 }; // read here: clients may come and go at once
            if (waits && journals.ContainsKey(journal.Origin.Id)) unclaimed.Add(journal);
            Unclaimed = unclaimed.Count;
        }
    }

    /// <summary>The resumable answers, the newest first.</summary>
    /// <param name="owner">Whose; null: those of all owners.</param>
    public IReadOnlyList<AnswerJournal> List(string? owner)
    {
        lock (gate)
        {
            return [.. journals.Values.Where(static journal => journal is { IsReadable: true, Origin.Resumable: true })
                .Where(journal => owner is null || journal.Origin.Owner == owner)
                .OrderByDescending(static journal => journal.Number)];
        }
    }

    /// <summary>Removes an answer that its owner deleted.</summary>
    public void Remove(AnswerJournal journal)
    {
        lock (gate)
        {
            journal.IsDeleted = true;
            Forget(journal);
        }
    }

    /// <summary>Removes every finished answer of an owner. Running ones stay.</summary>
    public void RemoveFinished(string owner)
    {
        lock (gate)
        {
            foreach (var journal in journals.Values.Where(journal => journal.IsOver && journal.Origin.Owner == owner).ToList())
            {
                journal.IsDeleted = true;
                Forget(journal);
            }
        }
    }

    /// <summary>A journal has a time at which it is given up.</summary>
    public void Wake()
    {
        lock (gate)
        {
            if (ticks || journals.Count == 0) return;
            ticks = true;
            timer.Change(Period, Period);
        }
    }

    /// <summary>Called by a journal at its end: a failure is not the answer to its key.</summary>
    public void Ended(AnswerJournal journal)
    {
        lock (gate)
        {
            if (!journal.IsAnswer) FreeKey(journal);
            if (journals.GetValueOrDefault(journal.Origin.Id) == journal) finished[journal.Number] = journal;
            if (!journal.IsReadable) Forget(journal);
        }

        Wake();
        Limit();
    }

    /// <summary>Counts bytes that a journal keeps; negative: that it keeps no longer.</summary>
    public void CountBytes(long bytes) => Interlocked.Add(ref used, bytes);

    /// <summary>Makes room if more bytes are kept than may be.</summary>
    public void Limit()
    {
        if (Used > limit()) MakeRoom();
    }

    public void Dispose() => timer.Dispose();

    private void Add(AnswerJournal journal)
    {
        journals[journal.Origin.Id] = journal;
        if (journal.IsOver) finished[journal.Number] = journal;
        if (journal.Origin.Request is { } request) Name(journal, request.Name);
        if (ticks) return;
        ticks = true;
        timer.Change(Period, Period);
    }

    private void ChargeRequest(AnswerJournal journal)
    {
        if (journal.Origin.Request is not { } request) return;
        journal.CountRequest(request.Body.Length);
        Limit();
    }

    private void MakeRoom()
    {
        List<AnswerJournal> dropped = [];
        lock (gate)
        {
            while (Used > limit() && finished.Count > 0) Forget(finished.First().Value);
            // A call that has no frame yet stays: its first client could not read them either.
            while (Used > limit() && journals.Values.Where(static journal => journal is { IsReadable: true, IsOver: false, Length: > 0 })
                .MaxBy(static journal => journal.Charged) is { } largest)
            {
                largest.StopKeeping();
                FreeKey(largest);
                dropped.Add(largest);
            }
        }

        foreach (var journal in dropped) journal.ReleaseUnread();
    }

    private void Tick()
    {
        List<AnswerJournal>? expired = null;
        var running = Interlocked.Exchange(ref spare, null) ?? []; // a slow tick may still run when the next one begins
        var now = Now;
        lock (gate)
        {
            if (journals.Count == 0)
            {
                ticks = false;
                timer.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
                return;
            }

            foreach (var journal in journals.Values)
            {
                if (!journal.IsOver) running.Add(journal);
                else if (journal.Until <= now) (expired ??= []).Add(journal);
            }

            foreach (var journal in expired ?? []) Forget(journal);
        }

        foreach (var journal in running)
        {
            if (journal.Until <= now) journal.Release();
            else journal.Tick(now);
        }

        running.Clear();
        spare = running;
    }

    private void Forget(AnswerJournal journal)
    {
        if (journals.GetValueOrDefault(journal.Origin.Id) != journal) return;
        journals.Remove(journal.Origin.Id);
        finished.Remove(journal.Number);
        if (unclaimed.Remove(journal)) Unclaimed = unclaimed.Count;
        FreeKey(journal);
        journal.StopCounting();
        foreach (var name in journal.Names)
        {
            if (names.TryGetValue((journal.Origin.Owner, name), out var holder) && holder == journal) names.Remove((journal.Origin.Owner, name));
        }

        if (!journal.Origin.IsNamed || journal.IsDeleted || (journal.Head is not { Refusal: null } && !journal.Origin.KeepsRefusal)) return;
        foreach (var id in journal.Names.Prepend(journal.Origin.TraceId))
        {
            if (!gone.TryAdd(id, journal.Origin.Owner)) continue;
            goneInOrder.Enqueue(id);
            if (goneInOrder.Count > MostGone) gone.Remove(goneInOrder.Dequeue());
        }
    }

    private void FreeKey(AnswerJournal journal)
    {
        if (journal.Origin is not { Key: { } key, Owner: var owner }) return;
        if (keys.TryGetValue((owner, key), out var holder) && holder == journal) keys.Remove((owner, key));
    }
}
