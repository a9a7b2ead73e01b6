using Proxy.Chat;
using Proxy.Streams;

namespace Proxy.Http;

/// <summary>
/// One call's hold of its <c>Idempotency-Key</c> among the processes that share a database. The first call takes the key's lease, generates, and renews the
/// lease meanwhile. Another call waits until the answer is in the database; if the lease ends without one, because its process died or its generation failed,
/// that call takes the lease and generates.
/// </summary>
/// <param name="store">Has the answers.</param>
/// <param name="leases">The leases.</param>
/// <param name="journal">The call's new journal.</param>
/// <param name="calls">Finds the call if its generation must stop.</param>
/// <param name="log">The log.</param>
/// <param name="time">The clock.</param>
internal sealed class KeyHold(IRecordStore store, IKeyLeases leases, AnswerJournal journal, ActiveCalls calls, ILogger log, TimeProvider time)
{
    /// <summary>A process that has not renewed its lease for so long is taken for dead.</summary>
    public static readonly TimeSpan Duration = TimeSpan.FromSeconds(10);

    private static readonly TimeSpan RenewEvery = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan LongestPause = TimeSpan.FromMilliseconds(250);

    private readonly KeyLease lease = new(journal.Origin.Owner, journal.Origin.Key!, journal.Origin.TraceId, journal.Origin.Digest);

    /// <summary>
    /// Waits until this call has the key, or until the journal is filled with the answer of the call that had it. Returns an error if the key was sent with
    /// another request.
    /// </summary>
    /// <exception cref="StoreException">The store cannot be used.</exception>
    public async ValueTask<ProxyError?> BeginAsync(CancellationToken cancellation)
    {
        for (var pause = FirstPause; ; pause = pause * 2 < LongestPause ? pause * 2 : LongestPause)
        {
            if (await TryTakeAsync(cancellation) is not { } now) return await KeyRecord.RestoreAsync(store, journal, cancellation);
            if (now.Holder == lease.Holder) return await BeginAsHolderAsync(cancellation);
            if (now.Digest != lease.Digest) return CallSharing.KeyReused;
            if (await KeyRecord.RestoreAsync(store, journal, cancellation) is { } reused) return reused;
            if (journal.IsOver) return null;
            await Task.Delay(pause, time, cancellation);
        }
    }

    /// <summary>Null: the database takes no lease, for example because the disk is full. An answer may be found in it all the same.</summary>
    private async ValueTask<KeyLease?> TryTakeAsync(CancellationToken cancellation)
    {
        try
        {
            return await leases.TakeAsync(lease, Duration, cancellation);
        }
        catch (StoreException problem)
        {
            log.KeyNotShared(lease.Holder, problem.Message);
            return null;
        }
    }

    private async ValueTask<ProxyError?> BeginAsHolderAsync(CancellationToken cancellation)
    {
        var keeps = false;
        try
        {
            // The answer may have come just before the lease was taken.
            var reused = await KeyRecord.RestoreAsync(store, journal, cancellation);
            keeps = reused is null && !journal.IsOver;
            return reused;
        }
        finally
        {
            _ = KeepAsync(keeps);
        }
    }

    /// <summary>Renews the lease until the answer is complete, then gives it back. If another process has taken it, the generation is stopped.</summary>
    private async Task KeepAsync(bool keeps)
    {
        try
        {
            while (keeps && !journal.IsOver)
            {
                await journal.WhenEndedAsync(default).WaitAsync(RenewEvery, time).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                if (!journal.IsOver && !await RenewAsync()) return;
            }

            await leases.ReleaseAsync(lease, default);
        }
        catch (Exception problem) when (problem is StoreException or ObjectDisposedException)
        {
            // The database is away, or this process ends. The lease ends by itself.
        }
        catch (Exception problem) // no caller is left
        {
            log.KeyLeaseFailed(problem, lease.Holder);
        }
    }

    private async ValueTask<bool> RenewAsync()
    {
        try
        {
            if (await leases.RenewAsync(lease, Duration, default)) return true;
        }
        catch (StoreException)
        {
            return true; // while the database is away, no other process can take the lease
        }

        log.KeyLost(lease.Holder);
        calls.Snapshot().FirstOrDefault(call => call.Info.TraceId == lease.Holder && call.Info.Owner == lease.Owner)
            ?.Interrupt(new(ProxyErrorKind.Cancelled, "another proxy has taken over this call's Idempotency-Key"));
        return false;
    }
}
