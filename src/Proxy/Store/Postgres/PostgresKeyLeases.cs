using Npgsql;
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
                NpgsqlParameter[] values = [.. Names(wanted), Text(wanted.Digest), Of(duration.TotalSeconds)];
                if (await RunAsync(connection, take, values, cancellation).ConfigureAwait(false) > 0) return wanted;
                var find = new NpgsqlCommand($"select holder, digest from {schema.Quoted}.key_leases where owner = $1 and key = $2", connection);
                await using var ended = find.ConfigureAwait(false);
                find.Parameters.AddRange(Names(wanted)[..2]);
                var row = await find.ExecuteReaderAsync(cancellation).ConfigureAwait(false);
                await using var closed = row.ConfigureAwait(false);
                // Without a row, it was given back at this moment.
                if (await row.ReadAsync(cancellation).ConfigureAwait(false)) return wanted with { Holder = row.GetString(0), Digest = row.GetString(1) };
            }
        },
        cancellation).ConfigureAwait(false);

    public async ValueTask<bool> RenewAsync(KeyLease lease, TimeSpan duration, CancellationToken cancellation) => await schema.UseAsync(
        (connection, cancellation) => RunAsync(connection, renew, [.. Names(lease), Of(duration.TotalSeconds)], cancellation), cancellation)
        .ConfigureAwait(false) > 0;

    public async ValueTask ReleaseAsync(KeyLease lease, CancellationToken cancellation) => await schema.UseAsync(
        (connection, cancellation) => RunAsync(
            connection, $"delete from {schema.Quoted}.key_leases where owner = $1 and key = $2 and holder = $3", Names(lease), cancellation),
        cancellation).ConfigureAwait(false);

    private static async Task<int> RunAsync(NpgsqlConnection connection, string sql, NpgsqlParameter[] parameters, CancellationToken cancellation)
    {
        var command = new NpgsqlCommand(sql, connection);
        await using var ended = command.ConfigureAwait(false);
        command.Parameters.AddRange(parameters);
        return await command.ExecuteNonQueryAsync(cancellation).ConfigureAwait(false);
    }

    private static NpgsqlParameter[] Names(KeyLease lease) =>
        [Text(lease.Owner), Text(PostgresText.Indexed(lease.Key)), Text(lease.Holder)];
}
