using System.Data.Common;
using Microsoft.Extensions.Logging;
using Proxy.Streams;

namespace Proxy.Store.Spooling;

/// <summary>
/// A store whose commits succeed while its database cannot be used. Their rows go to a spool on this machine's disk and from there to the database when it
/// returns, in their order. Until all are delivered, new rows go behind them, and reads fail: they would not see what waits. Files that a dead process left in
/// the folder are delivered too; meanwhile keys and answers are found in them.
/// </summary>
internal sealed class SpoolingStore : IRecordStore
{
    /// <summary>The most bytes of a folder's spool that one process has.</summary>
    public const long MostBytes = 1L << 30;

    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan AdoptPause = TimeSpan.FromSeconds(30);

    private readonly IRecordStore database;
    private readonly Spool spool;
    private readonly string folder;
    private readonly ILogger log;
    private readonly TimeProvider time;
    private readonly SemaphoreSlim gate = new(1); // guards the spool, and the change between both states
    private readonly SemaphoreSlim begun = new(0);
    private readonly CancellationTokenSource stop = new();
    private readonly Task delivering;
    private string? problem;
    private long failedAt;
    private long seen; // of spool.Appended
    private long delivered;
    private long damaged; // of spool.Damaged, those that are counted
    private long lost;
    private int disposed;

    /// <summary>Connects to nothing yet.</summary>
    /// <param name="database">Disposed together with this.</param>
    /// <param name="folder">Where the spool's files are. It need not exist. Null: there is no place for a spool.</param>
    /// <param name="log">Told when spooling begins and ends.</param>
    /// <param name="time">Paces the attempts to reach the database.</param>
    /// <param name="most">The most bytes of the spool.</param>
    public SpoolingStore(IRecordStore database, string? folder, ILogger log, TimeProvider time, long most = MostBytes)
    {
        (this.database, this.log, this.time, this.folder) = (database, log, time, folder ?? "memory");
        spool = new(folder, most, time);
        if (Adopt() > 0) Begin("records of an earlier process wait to be delivered");
        delivering = Task.Run(DeliverAsync);
    }

    /// <summary>Why rows are spooled; null: they go to the database.</summary>
    public string? Problem => Volatile.Read(ref problem);

    /// <summary>Rows that wait in the spool.</summary>
    public long SpooledRows => spool.Rows;

    /// <summary>Bytes that the spool takes up.</summary>
    public long SpooledBytes => spool.Bytes;

    /// <summary>Spooled rows that the disk has damaged or that the database does not take.</summary>
    public long Lost => Volatile.Read(ref lost);

    public IKeyLeases? Leases => Problem is null ? database.Leases : null;

    public ValueTask<IReadOnlyList<string>> CheckAsync(CancellationToken cancellation) => database.CheckAsync(cancellation);

    public async ValueTask CommitAsync(IReadOnlyList<StoreRow> rows, CancellationToken cancellation)
    {
        while (true)
        {
            string? failure = null;
            if (Problem is null)
            {
                try
                {
                    await database.CommitAsync(rows, cancellation).ConfigureAwait(false);
                    return;
                }
                catch (StoreException e) when (!e.IsRefusal)
                {
                    failure = e.Message;
                }
            }

            if (await SpoolAsync(rows, failure, cancellation).ConfigureAwait(false)) return;
        }
    }

    public ValueTask<KeyRow?> FindKeyAsync(string owner, string key, CancellationToken cancellation) =>
        FindAsync<KeyRow>(owner, key, store => store.FindKeyAsync(owner, key, cancellation), cancellation);

    public ValueTask<AnswerRow?> FindAnswerAsync(string owner, string id, CancellationToken cancellation) =>
        FindAsync<AnswerRow>(owner, id, store => store.FindAnswerAsync(owner, id, cancellation), cancellation);

    public ValueTask<bool> DeleteAnswerAsync(string owner, string id, CancellationToken cancellation) =>
        UseAsync(store => store.DeleteAnswerAsync(owner, id, cancellation));

    public ValueTask<CompletionRow?> FindCompletionAsync(string owner, string requestId, CancellationToken cancellation) =>
        UseAsync(store => store.FindCompletionAsync(owner, requestId, cancellation));

    public ValueTask<IReadOnlyList<UsageRow>> ReadUsageAsync(string? owner, DateOnly from, DateOnly to, CancellationToken cancellation) =>
        UseAsync(store => store.ReadUsageAsync(owner, from, to, cancellation));

    public ValueTask<long> ForgetAsync(string owner, CancellationToken cancellation) => UseAsync(store => store.ForgetAsync(owner, cancellation));

    public async ValueTask PruneAsync(CancellationToken cancellation)
    {
        if (Problem is { } why) throw new StoreException(why);
        await database.PruneAsync(cancellation).ConfigureAwait(false);
    }

    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref disposed, 1) == 1) return;
        await stop.CancelAsync().ConfigureAwait(false);
        await delivering.ConfigureAwait(false);
        await database.DisposeAsync().ConfigureAwait(false);
        await gate.WaitAsync().ConfigureAwait(false); // a commit may still be writing
        spool.Dispose();
        gate.Release();
    }

    /// <summary>False: the database can be used again, so the rows belong there.</summary>
    /// <param name="rows">If there are none, nothing is written.</param>
    /// <param name="failure">Why the database did not take them; null: it was not asked.</param>
    /// <param name="cancellation">Ends the wait for other commits.</param>
    private async Task<bool> SpoolAsync(IReadOnlyList<StoreRow> rows, string? failure, CancellationToken cancellation)
    {
        await gate.WaitAsync(cancellation).ConfigureAwait(false);
        try
        {
            if (failure is not null) Begin(failure);
            if (Problem is null) return false;
            if (rows.Count > 0) await Task.Run(() => spool.Append(rows), CancellationToken.None).ConfigureAwait(false); // it waits for the disk
            return true;
        }
        catch (StoreException e)
        {
            throw new StoreException($"{e.Message}; {Problem}", e);
        }
        finally
        {
            gate.Release();
        }
    }

    /// <summary>
    /// Reads the database, or, while that is not complete, what a process spooled before it died: a client that repeats its call after such an end gets the
    /// answer that was recorded.
    /// </summary>
    private async ValueTask<T?> FindAsync<T>(string owner, string name, Func<IRecordStore, ValueTask<T?>> find, CancellationToken cancellation)
        where T : StoreRow
    {
        if (Problem is { } why)
        {
            if (!spool.HasAdopted) throw new StoreException(why);
            await gate.WaitAsync(cancellation).ConfigureAwait(false);
            try
            {
                if (Problem is not null)
                {
                    if (!spool.TryFind<T>(owner, name, out var row)) throw new StoreException(why);
                    if (row is not null) return row;
                }
            }
            catch (IOException e)
            {
                throw new StoreException($"the spool in {folder} cannot be read: {e.Message}", e);
            }
            finally
            {
                gate.Release();
            }
        }

        return await AskAsync(find).ConfigureAwait(false);
    }

    private ValueTask<T> UseAsync<T>(Func<IRecordStore, ValueTask<T>> use) => Problem is { } why ? throw new StoreException(why) : AskAsync(use);

    private async ValueTask<T> AskAsync<T>(Func<IRecordStore, ValueTask<T>> use)
    {
        try
        {
            return await use(database).ConfigureAwait(false);
        }
        catch (StoreException e) when (e.InnerException is DbException { IsTransient: true })
        {
            Begin(e.Message); // the next call need not wait to find out that the database is down
            throw;
        }
    }

    /// <summary>Delivers what is spooled, until this is disposed. While the database cannot be used, it is tried without keeping new rows waiting.</summary>
    private async Task DeliverAsync()
    {
        var (works, pause) = (false, FirstPause);
        while (!stop.IsCancellationRequested)
        {
            try
            {
                if (Problem is null && spool.IsEmpty)
                {
                    await IdleAsync().ConfigureAwait(false);
                    works = false;
                }
                else if (!works)
                {
                    await database.CommitAsync([], stop.Token).ConfigureAwait(false);
                    (works, seen) = (true, spool.Appended);
                }
                else
                {
                    await DeliverPartAsync().ConfigureAwait(false);
                    pause = FirstPause;
                }
            }
            catch (OperationCanceledException) when (stop.IsCancellationRequested)
            {
                return;
            }
            catch (Exception e) when (e is StoreException or IOException or UnauthorizedAccessException)
            {
                if (e is not StoreException) log.SpoolUnreadable(folder, e.Message);
                Begin(e.Message);
                works = false;
                await Task.Delay(pause, time, stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                pause = pause * 2 < LongestPause ? pause * 2 : LongestPause;
            }
        }
    }

    /// <summary>Waits until rows are spooled or it is time to look for files of dead processes.</summary>
    private async Task IdleAsync()
    {
        using var woken = CancellationTokenSource.CreateLinkedTokenSource(stop.Token);
        await Task.WhenAny(begun.WaitAsync(woken.Token), Task.Delay(AdoptPause, time, woken.Token)).ConfigureAwait(false);
        await woken.CancelAsync().ConfigureAwait(false);
        await gate.WaitAsync(stop.Token).ConfigureAwait(false);
        try
        {
            Adopt();
        }
        finally
        {
            gate.Release();
        }
    }

    /// <summary>
    /// Delivers the oldest rows, and twice as many bytes as came in since the last time: new rows wait meanwhile, so the spool becomes empty however fast they
    /// come.
    /// </summary>
    private async Task DeliverPartAsync()
    {
        await gate.WaitAsync(stop.Token).ConfigureAwait(false);
        try
        {
            var goal = spool.Delivered + (2 * (spool.Appended - seen));
            seen = spool.Appended;
            do
            {
                if (spool.Next() is not { } part) break;
                await CommitAsync(part.Rows).ConfigureAwait(false);
                spool.Remove(part);
                delivered += part.Rows.Count;
            }
            while (spool.Delivered < goal);
            CountDamaged();
            if (spool.IsEmpty) End();
        }
        finally
        {
            gate.Release();
        }
    }

    private void CountDamaged()
    {
        if (spool.Damaged - damaged is not (> 0 and var more)) return;
        damaged += more;
        Interlocked.Add(ref lost, more);
        log.SpoolDamaged(more);
    }

    private async Task CommitAsync(IReadOnlyList<StoreRow> rows)
    {
        try
        {
            await database.CommitAsync(rows, stop.Token).ConfigureAwait(false);
        }
        catch (StoreException e) when (e.IsRefusal)
        {
            Interlocked.Add(ref lost, 1);
            log.SpoolRefused(rows.Count, e.Message);
        }
    }

    private int Adopt()
    {
        try
        {
            return spool.Adopt();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            log.SpoolUnreadable(folder, e.Message);
            return 0;
        }
    }

    private void Begin(string reason)
    {
        if (Interlocked.Exchange(ref problem, reason) is not null) return;
        failedAt = time.GetTimestamp();
        log.SpoolBegins(folder, reason);
        begun.Release();
    }

    private void End()
    {
        if (Interlocked.Exchange(ref problem, null) is null) return;
        log.SpoolEnds(delivered, time.GetElapsedTime(failedAt).TotalSeconds);
        delivered = 0;
    }
}
