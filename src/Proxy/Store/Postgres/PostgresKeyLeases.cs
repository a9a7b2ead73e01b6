using Npgsql;
using Proxy.Store.Postgres.Knowledge;
using Proxy.Streams;
using static Proxy.Store.Postgres.Knowledge.PostgresCommands;

namespace Proxy.Store.Postgres;

/// <summary>Leases on idempotency keys as rows of <c>key_leases</c>. Their end is measured by the database's clock, which all proxies share.</summary>
/// <param name="schema">The proxy's schema.</param>
internal sealed class PostgresKeyLeases(PostgresSchema schema) : IKeyLeases
{
    private readonly string take = $"""
        insert into {schema.Quoted}.key_leases as old (owner, key, holder, digest, expires_at)
        values ($1, $2, $3, $4, clock_timestamp() + make_interval(secs => $5))
        on conflict (owner, key) do update set holder = excluded.holder, digest = excluded.digest, expires_at = excluded.expires_at
        where old.expires_at <= clock_timestamp() or old.holder = excluded.holder
        """;

    private readonly string renew = $"""
        update {schema.Quoted}.key_leases set expires_at = clock_timestamp() + make_interval(secs => $4) where owner = $1 and key = $2 and holder = $3
        """;

    public async ValueTask<KeyLease> TakeAsync(KeyLease wanted, TimeSpan duration, CancellationToken cancellation) => await schema.UseAsync(
        async (connection, cancellation) =>
        {
            while (true)
            {
                if (await connection.RunAsync(take, cancellation, [.. Names(wanted), Text(wanted.Digest), Of(duration.TotalSeconds)]).ConfigureAwait(false) > 0)
                    return wanted;
                var held = await connection.RowsAsync(
                    $"select holder, digest from {schema.Quoted}.key_leases where owner = $1 and key = $2",
                    row => wanted with { Holder = row.GetString(0), Digest = row.GetString(1) }, cancellation, Names(wanted)[..2]).ConfigureAwait(false);
                if (held is [var other]) return other; // else it was given back at this moment
            }
        },
        cancellation).ConfigureAwait(false);

    public async ValueTask<bool> RenewAsync(KeyLease lease, TimeSpan duration, CancellationToken cancellation) => await schema.UseAsync(
        (connection, cancellation) => connection.RunAsync(renew, cancellation, [.. Names(lease), Of(duration.TotalSeconds)]), cancellation)
        .ConfigureAwait(false) > 0;

    public async ValueTask ReleaseAsync(KeyLease lease, CancellationToken cancellation) => await schema.UseAsync(
        (connection, cancellation) => connection.RunAsync(
            $"delete from {schema.Quoted}.key_leases where owner = $1 and key = $2 and holder = $3", cancellation, Names(lease)),
        cancellation).ConfigureAwait(false);

    private static NpgsqlParameter[] Names(KeyLease lease) =>
        [Text(lease.Owner), Text(PostgresText.Indexed(lease.Key)), Text(lease.Holder)];
}
