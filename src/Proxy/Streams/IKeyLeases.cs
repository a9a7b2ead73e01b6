namespace Proxy.Streams;

/// <summary>
/// Leases on idempotency keys, in a database that several processes share: the process that has a key's lease generates the answer. A lease that was not
/// renewed in time can be taken by another call. Thread-safe. Methods throw <see cref="StoreException"/> when the database cannot be used.
/// </summary>
internal interface IKeyLeases
{
    /// <summary>Takes the lease, if it is free, has ended, or is this holder's already. Returns the lease that holds now: this one, or another's.</summary>
    ValueTask<KeyLease> TakeAsync(KeyLease wanted, TimeSpan duration, CancellationToken cancellation);

    /// <summary>Renews the lease, also if it has ended. False: it is gone, or another has taken it.</summary>
    ValueTask<bool> RenewAsync(KeyLease lease, TimeSpan duration, CancellationToken cancellation);

    /// <summary>Gives the lease back. It does nothing if another has it.</summary>
    ValueTask ReleaseAsync(KeyLease lease, CancellationToken cancellation);
}

/// <summary>A lease on an <c>Idempotency-Key</c>.</summary>
/// <param name="Owner">The caller whose key it is.</param>
/// <param name="Key">The key.</param>
/// <param name="Holder">The trace id of the call that has the lease.</param>
/// <param name="Digest">The digest of what that call sent.</param>
internal sealed record KeyLease(string Owner, string Key, string Holder, string Digest);
