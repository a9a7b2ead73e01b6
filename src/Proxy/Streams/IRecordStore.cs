namespace Proxy.Streams;

/// <summary>
/// The database that remembers calls: a file, or PostgreSQL. Thread-safe. Every write is an upsert, so a batch that is sent again after a lost answer changes
/// nothing. Methods throw <see cref="StoreException"/> when the database cannot be used.
/// </summary>
internal interface IRecordStore : IAsyncDisposable
{
    /// <summary>
    /// What keeps the database from being used, or from being used fully, one line each; empty: nothing. For <c>proxy check</c>: creates and changes nothing.
    /// </summary>
    ValueTask<IReadOnlyList<string>> CheckAsync(CancellationToken cancellation);

    /// <summary>
    /// Writes all rows in one transaction and returns when they are durable, in this database or in a spool that is delivered to it later. The first call
    /// opens the database and creates or migrates its tables. Without rows, it shows that the database can be written.
    /// </summary>
    ValueTask CommitAsync(IReadOnlyList<StoreRow> rows, CancellationToken cancellation);

    /// <summary>The row of an idempotency key; null if there is none or it has expired.</summary>
    ValueTask<KeyRow?> FindKeyAsync(string owner, string key, CancellationToken cancellation);

    /// <summary>Leases on keys; null: no other process uses this database, or it cannot be used now.</summary>
    IKeyLeases? Leases => null;

    /// <summary>
    /// An answer that was kept, by its trace id or by the id that the host gave it; null if there is none, it is another owner's, or it has expired.
    /// </summary>
    ValueTask<AnswerRow?> FindAnswerAsync(string owner, string id, CancellationToken cancellation);

    /// <summary>Removes an answer that was kept. False: there was none.</summary>
    ValueTask<bool> DeleteAnswerAsync(string owner, string id, CancellationToken cancellation);

    /// <summary>A cached completion; null if there is none or it has expired. With <paramref name="owner"/> empty: one that all owners share.</summary>
    ValueTask<CompletionRow?> FindCompletionAsync(string owner, string requestId, CancellationToken cancellation);

    /// <summary>Requests and tokens by day, owner and model: newest day first, then by owner and model.</summary>
    /// <param name="owner">Null: all owners.</param>
    /// <param name="from">The first day (UTC).</param>
    /// <param name="to">The last day.</param>
    /// <param name="cancellation">Ends the query.</param>
    ValueTask<IReadOnlyList<UsageRow>> ReadUsageAsync(string? owner, DateOnly from, DateOnly to, CancellationToken cancellation);

    /// <summary>Deletes everything that belongs to an owner, daily usage included. Returns the number of rows.</summary>
    ValueTask<long> ForgetAsync(string owner, CancellationToken cancellation);

    /// <summary>Deletes expired rows. Called from time to time.</summary>
    ValueTask PruneAsync(CancellationToken cancellation);
}

/// <summary>The database cannot be used. The message says why, for the log and the operator; it is never sent to a client.</summary>
internal sealed class StoreException(string message, Exception? inner = null) : Exception(message, inner)
{
    /// <summary>The database can be used but does not take these rows; another try will fail too.</summary>
    public bool IsRefusal { get; init; }
}
