using Microsoft.Extensions.Logging;
using Proxy.Streams;

namespace Proxy.Store;

/// <summary>
/// Groups the commits of a store: one transaction at a time, with everything that came in while the last one ran. It needs no thread while nothing waits.
/// What waits is bounded; rows beyond that are lost, as are rows that the store fails to write. Dispose it to write what waits and to close the store.
/// </summary>
/// <param name="store">Disposed together with the writer.</param>
/// <param name="place">Where the records are kept, for the log.</param>
/// <param name="log">Told of failures, at most once a minute.</param>
/// <param name="time">Paces the log, the attempts to reach a failed store, and the deletion of expired rows.</param>
internal sealed class RecordWriter(IRecordStore store, string place, ILogger log, TimeProvider time) : IRecordWriter, IDisposable
{
    /// <summary>The most rows that wait, and the most bytes of them.</summary>
    public const int MostRows = 8192, MostBytes = 64 << 20;

    private static readonly TimeSpan LogPause = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan RetryPause = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan PrunePause = TimeSpan.FromHours(1);
    private static readonly TimeSpan LastWrite = TimeSpan.FromSeconds(10);

    private readonly Lock gate = new();
    private List<Item> waiting = [];
    private int rows;
    private long bytes;
    private Task? running; // null: the store is free
    private bool disposed;
    private long lost;
    private long commits;
    private volatile bool hasOpened;
    private string? problem;
    private long? logged;

    /// <summary>Rows that could not be written since the start.</summary>
    public long Lost => Volatile.Read(ref lost);

    /// <summary>Transactions since the start.</summary>
    public long Commits => Volatile.Read(ref commits);

    /// <summary>Rows that wait for the store.</summary>
    public int Waiting => Volatile.Read(ref rows);

    /// <summary>Why the last attempt to write failed; null: it did not.</summary>
    public string? Problem => Volatile.Read(ref problem);

    public async ValueTask WriteAsync(IReadOnlyList<StoreRow> rows, CancellationToken cancellation)
    {
        var done = new TaskCompletionSource<StoreException?>(TaskCreationOptions.RunContinuationsAsynchronously);
        if ((Add(new(rows, done)) ?? await done.Task.WaitAsync(cancellation).ConfigureAwait(false)) is { } failure) throw failure;
    }

    public void Post(StoreRow row) => Add(new([row], null));

    /// <summary>Opens the store, tries again while it fails, and has it delete expired rows, until cancelled.</summary>
    public async Task RunAsync(CancellationToken cancellation)
    {
        long? pruned = null;
        using var timer = new PeriodicTimer(RetryPause, time);
        try
        {
            do
            {
                if (!hasOpened || Problem is not null) await TryAsync(cancellation).ConfigureAwait(false);
                if (Problem is not null || (pruned is { } before && time.GetElapsedTime(before) < PrunePause)) continue;
                pruned = time.GetTimestamp();
                await PruneAsync(cancellation).ConfigureAwait(false);
            }
            while (await timer.WaitForNextTickAsync(cancellation).ConfigureAwait(false));
        }
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
        {
        }
    }

    public void Dispose()
    {
        Task? last;
        lock (gate) (disposed, last) = (true, running);
        if (last?.Wait(LastWrite) is false) return; // a store that hangs keeps its connection; the process ends
        store.DisposeAsync().AsTask().Wait(LastWrite);
    }

    private async Task TryAsync(CancellationToken cancellation)
    {
        try
        {
            await WriteAsync([], cancellation).ConfigureAwait(false);
        }
        catch (StoreException)
        {
            // It has been logged.
        }
    }

    private async Task PruneAsync(CancellationToken cancellation)
    {
        try
        {
            await store.PruneAsync(cancellation).ConfigureAwait(false);
        }
        catch (StoreException failure)
        {
            log.NotPruned(failure.Message);
        }
    }

    /// <summary>Null, or why the rows are lost.</summary>
    private StoreException? Add(Item item)
    {
        var size = item.Rows.Sum(SizeOf);
        lock (gate)
        {
            if (disposed) return Lose(item, "this process stops");
            if (rows + item.Rows.Count > MostRows || (bytes + size > MostBytes && waiting.Count > 0))
                return Lose(item, $"{rows} records wait already: the database is too slow");
            waiting.Add(item);
            rows += item.Rows.Count;
            bytes += size;
            running ??= Task.Run(DrainAsync);
            return null;
        }
    }

    /// <summary>Commits until nothing waits.</summary>
    private async Task DrainAsync()
    {
        while (TakeAll() is { } group)
        {
            var failure = await CommitAsync([.. group.SelectMany(static item => item.Rows)]).ConfigureAwait(false);
            foreach (var item in group) item.Done?.SetResult(failure);
        }
    }

    private List<Item>? TakeAll()
    {
        lock (gate)
        {
            if (waiting.Count == 0)
            {
                running = null;
                return null;
            }

            var all = waiting;
            (waiting, rows, bytes) = ([], 0, 0);
            return all;
        }
    }

    private async Task<StoreException?> CommitAsync(IReadOnlyList<StoreRow> group)
    {
        StoreException failure;
        try
        {
            await store.CommitAsync(group, CancellationToken.None).ConfigureAwait(false);
            Interlocked.Increment(ref commits);
            Succeeded();
            return null;
        }
        catch (StoreException said)
        {
            failure = said;
        }
        catch (Exception bug) // calls wait for this: they must end, and the next group must get its turn
        {
            log.Bug(bug);
            failure = new("the store failed; the log has the reason", bug);
        }

        Interlocked.Add(ref lost, group.Count);
        Failed(failure.Message);
        return failure;
    }

    private StoreException Lose(Item item, string why)
    {
        Interlocked.Add(ref lost, item.Rows.Count);
        Failed(why);
        return new(why);
    }

    private void Succeeded()
    {
        if (!hasOpened) log.Opened(place);
        else if (Problem is not null) log.WorksAgain(Lost);
        hasOpened = true;
        lock (gate) (problem, logged) = (null, null);
    }

    private void Failed(string reason)
    {
        lock (gate)
        {
            problem = reason;
            if (logged is { } before && time.GetElapsedTime(before) < LogPause) return;
            logged = time.GetTimestamp();
        }

        log.Failed(Lost, reason);
    }

    private static long SizeOf(StoreRow row) => 512 + row switch
    {
        ExchangeRow exchange => (exchange.Request?.Length ?? 0L) + (exchange.Answer?.Length ?? 0),
        AnswerRow answer => answer.Frames.Length + (answer.Request?.Length ?? 0L),
        CompletionRow completion => completion.Events.Length + (2L * (completion.Content?.Length ?? 0)),
        ArtifactRow artifact => 2L * ((artifact.Value?.Length ?? 0) + (artifact.Uri?.Length ?? 0)),
        _ => 0,
    };

    /// <summary>Rows of one transaction; <paramref name="Done"/> gets why they are lost, or null.</summary>
    private readonly record struct Item(IReadOnlyList<StoreRow> Rows, TaskCompletionSource<StoreException?>? Done);
}
