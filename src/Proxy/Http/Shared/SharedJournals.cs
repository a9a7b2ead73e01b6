using System.Collections.Concurrent;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Config;
using Proxy.Streams;

namespace Proxy.Http.Shared;

/// <summary>
/// Lets several proxies continue each other's answers: this process's answers are written to shared journals, those of others are read from there, and two
/// proxies that get the same <c>Idempotency-Key</c> generate one answer. Thread-safe.
/// </summary>
internal sealed class SharedJournals : IDisposable
{
    /// <summary>A journal without a message for this time has lost the process that writes it.</summary>
    public static readonly TimeSpan LongestSilence = TimeSpan.FromSeconds(10);

    /// <summary>How long the end of an answer waits until it is stored.</summary>
    private static readonly TimeSpan LongestEnd = TimeSpan.FromSeconds(5);

    /// <summary>How long a stopping process waits until its journals are complete.</summary>
    private static readonly TimeSpan LastWords = TimeSpan.FromSeconds(2);

    /// <summary>How long after its start a process waits for its first connection.</summary>
    private static readonly TimeSpan Start = TimeSpan.FromSeconds(5);

    private static readonly TimeSpan Pace = TimeSpan.FromMilliseconds(50);

    private const int MostTries = 5;

    /// <summary>Answers that are written, or wait to be written, at one time.</summary>
    private const int MostShippers = 4096;

    private readonly ConcurrentDictionary<string, JournalShipper> shippers = [];
    private readonly ConcurrentDictionary<AnswerJournal, JournalMirror> mirrors = [];
    private readonly JournalTable journals;
    private readonly Func<StreamsConfig> config;
    private readonly ActiveCalls calls;
    private readonly ILogger log;
    private readonly TimeProvider time;
    private readonly long started;
    private long missedSince; // 0: the last append was stored
    private long messages;
    private long unstored;
    private long lost;

    public SharedJournals(
        ISharedJournals store, JournalTable journals, Func<StreamsConfig> config, ActiveCalls calls, ILogger log, TimeProvider time)
    {
        (Store, this.journals, this.config, this.calls, this.log, this.time) = (store, journals, config, calls, log, time);
        started = time.GetTimestamp();
        store.Asked = Answer;
    }

    public static ProxyError TooLarge => new(ProxyErrorKind.StreamExpired, "the beginning of the answer is not kept any more");

    public static ProxyError WasDeleted => new(ProxyErrorKind.Cancelled, $"the call was cancelled by DELETE {StreamEndpoints.Root}");

    public static GenerationEnd Broken => new(EndKind.BrokeOff, null,
        new(ProxyErrorKind.HostFailed, "the proxy that generated this answer does not write to its journal any more; this is all that was journaled"));

    public ISharedJournals Store { get; }

    /// <summary>Messages that were stored.</summary>
    public long Messages => Volatile.Read(ref messages);

    /// <summary>Answers that ended for their client before they were stored.</summary>
    public long Unstored => Volatile.Read(ref unstored);

    /// <summary>Answers that could not be written on, because another process owns their journal or a part of it is gone.</summary>
    public long LostJournals => Volatile.Read(ref lost);

    /// <summary>Answers of other processes that are read at present.</summary>
    public int Mirrors => mirrors.Count;

    /// <summary>How long an end waits now: not at all if the journals have not been reachable for a while.</summary>
    public TimeSpan EndPatience => Interlocked.Read(ref missedSince) is var since && since != 0 && time.GetElapsedTime(since) is var missing
        ? missing < LongestEnd ? LongestEnd - missing : TimeSpan.Zero
        : LongestEnd;

    /// <summary>Begins to write a journal of this process, if other proxies may ask for its answer. Returns what writes it; null: nothing does.</summary>
    /// <param name="journal">A journal that has just begun.</param>
    public JournalShipper? Ship(AnswerJournal journal)
    {
        if (Store.IsMissing || journal.Origin is { Resumable: false, Key: null } || !journal.IsReadable || journal.IsOver) return null;
        if (shippers.TryGetValue(journal.Origin.TraceId, out var running)) return running;
        if (shippers.Count >= MostShippers)
        {
            EndedUnstored(journal.Origin.TraceId);
            return null;
        }

        var shipper = new JournalShipper(journal, this, time);
        shippers[journal.Origin.TraceId] = shipper;
        _ = ShipAsync(shipper);
        return shipper;
    }

    /// <summary>Finds the answer to a call of another process, and begins to read it. Another owner's is not found.</summary>
    /// <returns>The journal, whether the answer is not kept any more, and why that is not known.</returns>
    public async ValueTask<(AnswerJournal? Journal, bool IsGone, ProxyError? Problem)> FindAsync(string traceId, string owner, CancellationToken cancellation)
    {
        if (Store.IsMissing || !IsTraceId(traceId)) return default;
        try
        {
            if (!await IsUsableAsync(cancellation)) return (null, false, Unreadable);
            if (await FindOriginAsync(traceId, owner, cancellation) is not { } found) return default;
            if (!found.Origin.Resumable) return default;
            if (found.Last.Kind is SharedKind.End && Age(found.Last) > config().Keep) return (null, true, null);
            return (await MirrorAsync(found.Origin, found.Last.Sequence, cancellation), false, null);
        }
        catch (SharedJournalException)
        {
            return (null, false, Unreadable);
        }
    }

    /// <summary>Deletes an answer for all proxies and cancels its generation. Another owner's is not found.</summary>
    /// <returns>Whether it was there, whether its generation was cancelled, and why that is not known.</returns>
    public async ValueTask<(bool IsFound, bool IsCancelled, ProxyError? Problem)> DeleteAsync(string traceId, string owner, CancellationToken cancellation)
    {
        if (Store.IsMissing || !IsTraceId(traceId)) return default;
        try
        {
            if (!await IsUsableAsync(cancellation)) return (false, false, Unreadable);
            if (await FindOriginAsync(traceId, owner, cancellation) is not { } found) return default;
            var isCancelled = found.Last.Kind is not SharedKind.End && await Store.AskOwnerAsync(traceId, owner, OwnerAsk.Cancel, cancellation);
            for (var tries = 0; tries < MostTries; tries++)
            {
                if (await Store.LastAsync(traceId, cancellation) is not { Kind: not SharedKind.Deleted } last) break;
                if (await Store.AppendAsync(traceId, SharedKind.Deleted, default, last.Sequence, cancellation) is { Result: AppendResult.Stored }) break;
            }

            return (true, isCancelled, null);
        }
        catch (SharedJournalException)
        {
            return (false, false, Unreadable);
        }
    }

    /// <summary>
    /// Takes a new journal's key for this process. If another process has it, the journal gets that one's answer. Without a connection, this process answers.
    /// </summary>
    /// <returns>The error if the key was sent with another request, and whether another process answers.</returns>
    public async ValueTask<(ProxyError? Reused, bool IsElsewhere)> ClaimAsync(AnswerJournal journal, CancellationToken cancellation)
    {
        if (Store.IsMissing) return default;
        try
        {
            if (!await IsUsableAsync(cancellation)) throw new SharedJournalException("there is no connection to NATS");
            if (await FindHolderAsync(journal.Origin, cancellation) is { } holder)
            {
                if (holder.Digest != journal.Origin.Digest) return (CallSharing.KeyReused, false);
                journals.Adopt(journal, journal.Origin with { TraceId = holder.TraceId, Resumable = holder.Resumable, Created = holder.Created });
                Mirror(journal, 0);
                return (null, true);
            }
        }
        catch (SharedJournalException problem)
        {
            log.KeyNotShared(journal.Origin.TraceId, problem.Message);
        }

        Ship(journal);
        return default;
    }

    /// <summary>The journal is read from elsewhere and not complete yet.</summary>
    public bool IsMirrored(AnswerJournal journal) => !journal.IsOver && mirrors.ContainsKey(journal);

    public void Count() => Interlocked.Increment(ref messages);

    /// <summary>An append was answered.</summary>
    public void Reached()
    {
        if (Interlocked.Exchange(ref missedSince, 0) != 0) log.JournalsBack();
    }

    /// <summary>An append was not answered.</summary>
    public void Missed(SharedJournalException problem)
    {
        if (Interlocked.CompareExchange(ref missedSince, time.GetTimestamp(), 0) == 0) log.JournalsAway(problem.Message);
    }

    /// <summary>An answer ended before it was stored.</summary>
    public void EndedUnstored(string traceId)
    {
        Interlocked.Increment(ref unstored);
        log.EndNotStored(traceId);
    }

    /// <summary>A journal cannot be written on. If another process has taken it, the generation is stopped.</summary>
    public void Lost(AnswerJournal journal, AppendResult result)
    {
        Interlocked.Increment(ref lost);
        var traceId = journal.Origin.TraceId;
        log.JournalLost(traceId, result is AppendResult.Taken ? "another process has written to it" : "the server has lost what was stored");
        if (result is AppendResult.Taken && !journal.IsOver)
            Running(traceId, journal.Origin.Owner)?.Interrupt(new(ProxyErrorKind.Cancelled, "another proxy has taken over this call's journal"));
    }

    /// <summary>Removes a journal that was read from elsewhere.</summary>
    public void Forget(AnswerJournal journal) => journals.Remove(journal);

    public void Dispose() => Task.WhenAll(shippers.Values.Select(static shipper => shipper.Done)).Wait(LastWords);

    private static ProxyError Unreadable => new(ProxyErrorKind.StoreFailed, "the journal that this proxy shares with others cannot be read now; try again")
    {
        RetryAfter = TimeSpan.FromSeconds(1),
    };

    private static bool IsTraceId(string text) =>
        text.Length is > 0 and <= 64 && text.All(static letter => char.IsAsciiLetterOrDigit(letter) || letter is '-' or '_');

    private async ValueTask<bool> IsUsableAsync(CancellationToken cancellation)
    {
        while (!Store.IsUsable && !Store.IsMissing && time.GetElapsedTime(started) < Start) await Task.Delay(Pace, time, cancellation);
        return Store.IsUsable;
    }

    private TimeSpan Age(SharedMessage message) => time.GetUtcNow() - message.Stored;

    private CallScope? Running(string traceId, string owner) =>
        calls.Snapshot().FirstOrDefault(call => call.Info.TraceId == traceId && call.Info.Owner == owner);

    private async Task<(JournalOrigin Origin, SharedMessage Last)?> FindOriginAsync(string traceId, string owner, CancellationToken cancellation) =>
        await Store.LastAsync(traceId, cancellation) is { Kind: not SharedKind.Deleted } last
        && await Store.FirstAsync(traceId, 0, cancellation) is { Kind: SharedKind.Open } first
        && SharedJson.ReadOrigin(first) is { } origin && origin.Owner == owner && origin.TraceId == traceId ? (origin, last) : null;

    private async Task<AnswerJournal> MirrorAsync(JournalOrigin origin, ulong last, CancellationToken cancellation)
    {
        var (journal, isNew) = journals.Mirror(origin with { Digest = "", Key = null, Keep = config().Keep, Linger = TimeSpan.MaxValue });
        if (isNew) Mirror(journal, last);
        if (mirrors.TryGetValue(journal, out var mirror))
            await mirror.CaughtUp.WaitAsync(LongestEnd, time, cancellation).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        return journal;
    }

    /// <summary>Begins to fill a journal.</summary>
    /// <param name="journal">A new journal.</param>
    /// <param name="last">The number of the last message that is known to be there.</param>
    private void Mirror(AnswerJournal journal, ulong last)
    {
        var mirror = new JournalMirror(journal, last, this, time);
        mirrors[journal] = mirror;
        _ = FillAsync(journal, mirror);
    }

    private async Task FillAsync(AnswerJournal journal, JournalMirror mirror)
    {
        try
        {
            using (mirror) await mirror.RunAsync();
        }
        catch (Exception problem) // no caller is left; the readers must not wait for ever
        {
            log.MirrorFailed(problem, journal.Origin.TraceId);
        }
        finally
        {
            journal.End(Broken); // does nothing if it has ended
            mirrors.TryRemove(journal, out _);
        }
    }

    private async Task ShipAsync(JournalShipper shipper)
    {
        try
        {
            await shipper.RunAsync();
        }
        catch (Exception problem) // no caller is left
        {
            log.ShippingFailed(problem, shipper.Journal.Origin.TraceId);
        }
        finally
        {
            shippers.TryRemove(shipper.Journal.Origin.TraceId, out _);
        }
    }

    /// <summary>Takes the key of a call. Returns the other call that has it and answers it; null: this call has the key now.</summary>
    private async Task<JournalOrigin?> FindHolderAsync(JournalOrigin origin, CancellationToken cancellation)
    {
        using var data = new PooledBody();
        SharedJson.WriteOrigin(data, origin);
        var last = 0UL;
        for (var tries = 0; tries < MostTries; tries++)
        {
            if (await Store.ClaimKeyAsync(origin.Owner, origin.Key!, data.Memory, last, cancellation) is AppendResult.Stored) return null;
            if (await Store.FindKeyAsync(origin.Owner, origin.Key!, cancellation) is not { } held)
            {
                last = 0;
                continue;
            }

            if (SharedJson.ReadOrigin(held) is not { } holder) throw new SharedJournalException("a newer version of the proxy has the key");
            if (await AnswersAsync(holder.TraceId, held, cancellation)) return holder;
            last = held.Sequence;
        }

        throw new SharedJournalException("the key changes hands all the time");
    }

    /// <summary>
    /// Whether the call that has a key has answered it, or is about to. If its process is silent, its journal is closed, which stops the process if it lives.
    /// </summary>
    private async Task<bool> AnswersAsync(string traceId, SharedMessage claim, CancellationToken cancellation)
    {
        if (await Store.LastAsync(traceId, cancellation) is not { } last) return Age(claim) < LongestSilence;
        if (last.Kind is SharedKind.Deleted) return false;
        if (last.Kind is SharedKind.End) return SharedJson.ReadEnd(last).IsAnswer && Age(last) < config().KeysTtl;
        if (Age(last) < LongestSilence) return true;
        using var end = new PooledBody();
        SharedJson.WriteEnd(end, Broken, isAnswer: false);
        return await Store.AppendAsync(traceId, SharedKind.End, end.Memory, last.Sequence, cancellation) is not { Result: AppendResult.Stored };
    }

    /// <summary>Answers another proxy's question about a call.</summary>
    private bool Answer(string traceId, string owner, OwnerAsk ask)
    {
        if (ask is OwnerAsk.GoOn)
        {
            if (!shippers.TryGetValue(traceId, out var shipper) || shipper.Journal.Origin.Owner != owner) return false;
            shipper.GoOn();
            return true;
        }

        var running = Running(traceId, owner);
        running?.Interrupt(WasDeleted);
        if (journals.TryFind(traceId, owner, out var journal, out _)) journals.Remove(journal);
        return running is not null;
    }
}
