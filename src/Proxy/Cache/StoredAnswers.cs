using Microsoft.Extensions.Logging;
using Proxy.Streams;

namespace Proxy.Cache;

/// <summary>
/// The answers in the database, which outlive the process and are shared by several. A database that fails or is slow never fails a call: the cache goes on
/// without it for a while.
/// </summary>
/// <param name="store">The database; null: there is none.</param>
/// <param name="log">Is told when the database is left alone.</param>
/// <param name="time">The clock.</param>
internal sealed class StoredAnswers(Func<IRecordStore?> store, ILogger log, TimeProvider time)
{
    /// <summary>A look-up that takes longer costs the client more than it saves.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(1);

    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(30);

    /// <summary>Answers that may wait to be written. More are not written.</summary>
    private const int MostWaiting = 64;

    private readonly Lock gate = new();
    private DateTimeOffset pausedUntil;
    private int waiting;

    /// <summary>The answer; null if there is none or the database cannot be asked.</summary>
    public async ValueTask<CachedAnswer?> FindAsync(CacheKey key, CancellationToken cancellation)
    {
        if (Usable() is not { } records) return null;
        using var patience = new CancellationTokenSource(Patience, time);
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation, patience.Token);
        try
        {
            var row = await records.FindCompletionAsync(key.Owner, key.RequestId, limit.Token).AsTask().WaitAsync(limit.Token);
            return row is null || row.ExpiresAt <= time.GetUtcNow() ? null : new(row.Events, row.ExpiresAt);
        }
        catch (StoreException problem)
        {
            Failed(problem.Message);
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            Failed($"it did not answer within {Patience.TotalSeconds:0} s");
        }

        return null;
    }

    /// <summary>Whether an answer would be written: there is a database and it works.</summary>
    public bool Takes => Usable() is not null && Volatile.Read(ref waiting) < MostWaiting;

    /// <summary>Writes an answer in the background.</summary>
    public void Save(Func<CompletionRow> row) => _ = SaveAsync(row);

    private async Task SaveAsync(Func<CompletionRow> row)
    {
        Interlocked.Increment(ref waiting);
        await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding); // the client need not wait until the row is made
        try
        {
            if (Usable() is { } records) await records.CommitAsync([row()], CancellationToken.None);
        }
        catch (Exception problem) // no caller awaits this task, so every failure is logged here, and the answer is not kept
        {
            Failed(problem.Message);
        }
        finally
        {
            Interlocked.Decrement(ref waiting);
        }
    }

    private IRecordStore? Usable()
    {
        if (store() is not { } records) return null;
        lock (gate) return time.GetUtcNow() < pausedUntil ? null : records;
    }

    private void Failed(string reason)
    {
        lock (gate)
        {
            var now = time.GetUtcNow();
            if (now < pausedUntil) return; // logged already
            pausedUntil = now + Pause;
        }

        log.WithoutStore(Pause, reason);
    }
}
