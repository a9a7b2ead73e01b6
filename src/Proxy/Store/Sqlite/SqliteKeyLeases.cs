using Proxy.Streams;

namespace Proxy.Store.Sqlite;

/// <summary>Leases on idempotency keys as rows of <c>key_leases</c>, for the processes that have one file open: during an upgrade there are two.</summary>
/// <param name="writing">The connection that writes.</param>
/// <param name="time">Says which leases have ended.</param>
internal sealed class SqliteKeyLeases(SqliteAccess writing, TimeProvider time) : IKeyLeases
{
    private long Now => time.GetUtcNow().ToUnixTimeMilliseconds();

    public ValueTask<KeyLease> TakeAsync(KeyLease wanted, TimeSpan duration, CancellationToken cancellation) => writing.RunAsync(
        connection =>
        {
            var held = wanted;
            connection.Write(connection =>
            {
                connection.Prepare("""
                    insert into key_leases(owner, key, holder, digest, expires_at) values (?, ?, ?, ?, ?)
                    on conflict(owner, key) do update set holder = excluded.holder, digest = excluded.digest, expires_at = excluded.expires_at
                    where key_leases.expires_at <= ? or key_leases.holder = excluded.holder
                    """).Bind(wanted.Owner).Bind(wanted.Key).Bind(wanted.Holder).Bind(wanted.Digest).Bind((long?)End(duration)).Bind((long?)Now).Run();
                var row = connection.Prepare("select holder, digest from key_leases where owner = ? and key = ?").Bind(wanted.Owner).Bind(wanted.Key);
                if (row.Step()) held = wanted with { Holder = row.Text(0), Digest = row.Text(1) };
                row.Reset();
            });
            return held;
        },
        cancellation);

    public ValueTask<bool> RenewAsync(KeyLease lease, TimeSpan duration, CancellationToken cancellation) => writing.RunAsync(
        connection => connection.Prepare("update key_leases set expires_at = ? where owner = ? and key = ? and holder = ?")
            .Bind((long?)End(duration)).Bind(lease.Owner).Bind(lease.Key).Bind(lease.Holder).Run() > 0,
        cancellation);

    public async ValueTask ReleaseAsync(KeyLease lease, CancellationToken cancellation) => await writing.RunAsync(
        connection => connection.Prepare("delete from key_leases where owner = ? and key = ? and holder = ?")
            .Bind(lease.Owner).Bind(lease.Key).Bind(lease.Holder).Run(),
        cancellation).ConfigureAwait(false);

    private long End(TimeSpan duration) => Now + (long)duration.TotalMilliseconds;
}
