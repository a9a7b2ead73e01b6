namespace Proxy.Streams;

/// <summary>
/// Hands rows to the store. Commits are grouped: what waits while the store is busy goes into one transaction. Rows that cannot be written are lost; they are
/// counted and logged. Thread-safe.
/// </summary>
internal interface IRecordWriter
{
    /// <summary>
    /// Writes rows in one transaction and returns when they are durable. Throws <see cref="StoreException"/> if they are lost. Cancellation ends the wait but
    /// not the write. Without rows: returns when all that was handed over before is written or lost.
    /// </summary>
    ValueTask WriteAsync(IReadOnlyList<StoreRow> rows, CancellationToken cancellation);

    /// <summary>Writes a row without anyone waiting for it.</summary>
    void Post(StoreRow row);
}
