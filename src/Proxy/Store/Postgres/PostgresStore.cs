using Npgsql;
using NpgsqlTypes;
using Proxy.Streams;

namespace Proxy.Store.Postgres;

/// <summary>
/// Records in PostgreSQL. Several proxies may share the tables, also of different versions. The first use creates or migrates the tables.
/// </summary>
internal sealed class PostgresStore : IRecordStore
{
    /// <summary>Rows that are deleted in one transaction when expired ones go, so that no transaction is long.</summary>
    private const int PruneAtOnce = 1000;

    private readonly PostgresSchema schema;
    private readonly string quoted;
    private readonly TimeProvider time;
    private readonly PostgresRows writing;

    /// <summary>Connects to nothing yet. Throws <see cref="StoreException"/> if the address cannot be read.</summary>
    /// <param name="url">A URI or a connection string.</param>
    /// <param name="schema">The schema of the tables.</param>
    /// <param name="time">Says what has expired.</param>
    public PostgresStore(string url, string schema, TimeProvider time)
    {
        (this.schema, this.time) = (new(url, schema), time);
        quoted = this.schema.Quoted;
        Leases = new PostgresKeyLeases(this.schema);
        writing = new(quoted);
    }

    public IKeyLeases Leases { get; }

    private DateTime Now => time.GetUtcNow().UtcDateTime;

    public ValueTask<IReadOnlyList<string>> CheckAsync(CancellationToken cancellation) => schema.CheckAsync(cancellation);

    public async ValueTask CommitAsync(IReadOnlyList<StoreRow> rows, CancellationToken cancellation)
    {
        try
        {
            await WriteAsync(rows, cancellation).ConfigureAwait(false);
        }
        catch (StoreException group) when (group.IsRefusal && rows.Count > 1)
        {
            // One row that PostgreSQL does not take must not cost the others.
            StoreException? refusal = null;
            foreach (var row in rows)
            {
                try
                {
                    await WriteAsync([row], cancellation).ConfigureAwait(false);
                }
                catch (StoreException one) when (one.IsRefusal)
                {
                    refusal = one;
                }
            }

            if (refusal is not null) throw refusal;
        }
    }

    public ValueTask<KeyRow?> FindKeyAsync(string owner, string key, CancellationToken cancellation) => FindAsync(
        $"select trace_id, digest, req_id, status, updated_at, expires_at from {quoted}.idempotency_log where owner = $1 and key = $2 and expires_at > $3",
        row => new KeyRow
        {
            Owner = owner,
            Key = key,
            TraceId = row.GetString(0),
            Digest = row.GetString(1),
            RequestId = Text(row, 2),
            Status = row.GetString(3),
            UpdatedAt = Time(row, 4),
            ExpiresAt = Time(row, 5),
        },
        cancellation, Parameter(PostgresText.Clean(owner)), Parameter(PostgresText.Indexed(key)), Parameter(Now));

    public ValueTask<AnswerRow?> FindAnswerAsync(string owner, string id, CancellationToken cancellation) => FindAsync(
        $"""
        select trace_id, host_id, meta::text, frames, request, created_at, expires_at from {quoted}.answers
        where owner = $1 and (trace_id = $2 or host_id = $2) and expires_at > $3 order by trace_id = $2 desc, created_at desc limit 1
        """,
        row => new AnswerRow
        {
            Owner = owner,
            TraceId = row.GetString(0),
            HostId = Text(row, 1),
            Meta = System.Text.Encoding.UTF8.GetBytes(row.GetString(2)),
            Frames = row.GetFieldValue<byte[]>(3),
            Request = row.IsDBNull(4) ? null : row.GetFieldValue<byte[]>(4),
            CreatedAt = Time(row, 5),
            ExpiresAt = Time(row, 6),
        },
        cancellation, Parameter(PostgresText.Clean(owner)), Parameter(PostgresText.Indexed(id)), Parameter(Now));

    public async ValueTask<bool> DeleteAnswerAsync(string owner, string id, CancellationToken cancellation) => await RunAsync(
        [
            new($"delete from {quoted}.answers where owner = $1 and (trace_id = $2 or host_id = $2)")
            {
                Parameters = { Parameter(PostgresText.Clean(owner)), Parameter(PostgresText.Indexed(id)) },
            },
        ],
        cancellation).ConfigureAwait(false) > 0;

    public ValueTask<CompletionRow?> FindCompletionAsync(string owner, string requestId, CancellationToken cancellation) => FindAsync(
        $"""
        select model, content, tool_calls::text, reasoning, finish_reason, winner, usage::text, events, created_at, expires_at
        from {quoted}.completions_cache where owner = $1 and req_id = $2 and expires_at > $3
        """,
        row => new CompletionRow
        {
            Owner = owner,
            RequestId = requestId,
            Model = row.GetString(0),
            Content = Text(row, 1),
            ToolCalls = Text(row, 2),
            Reasoning = Text(row, 3),
            FinishReason = Text(row, 4),
            Winner = Text(row, 5),
            Usage = Text(row, 6),
            Events = row.GetFieldValue<byte[]>(7),
            CreatedAt = Time(row, 8),
            ExpiresAt = Time(row, 9),
        },
        cancellation, Parameter(PostgresText.Clean(owner)), Parameter(PostgresText.Indexed(requestId)), Parameter(Now));

    public ValueTask<IReadOnlyList<UsageRow>> ReadUsageAsync(string? owner, DateOnly from, DateOnly to, CancellationToken cancellation) => ReadAsync(
        $"""
        select day, owner, model, requests, input_tokens, output_tokens from {quoted}.usage_daily
        where day between $1 and $2 and ($3::text is null or owner = $3) order by day desc, owner collate "C", model collate "C"
        """,
        static row => new UsageRow(row.GetFieldValue<DateOnly>(0), row.GetString(1), row.GetString(2), row.GetInt64(3), row.GetInt64(4), row.GetInt64(5)),
        cancellation, Parameter(from), Parameter(to),
        new NpgsqlParameter<string?> { TypedValue = PostgresText.CleanOrNull(owner), NpgsqlDbType = NpgsqlDbType.Text });

    public ValueTask<long> ForgetAsync(string owner, CancellationToken cancellation) => RunAsync(
        [
            .. PostgresTables.Names.Select(table => new NpgsqlBatchCommand($"delete from {quoted}.{table} where owner = $1")
            {
                Parameters = { Parameter(PostgresText.Clean(owner)) },
            }),
        ],
        cancellation);

    public async ValueTask PruneAsync(CancellationToken cancellation)
    {
        await RunAsync([new($"delete from {quoted}.key_leases where expires_at < clock_timestamp() - interval '1 hour'")], cancellation).ConfigureAwait(false);
        foreach (var table in (string[])["idempotency_log", "answers", "completions_cache", "artifacts"])
        {
            var sql = $"delete from {quoted}.{table} where ctid = any(array(select ctid from {quoted}.{table} where expires_at <= $1 limit {PruneAtOnce}))";
            while (await RunAsync([new(sql) { Parameters = { Parameter(Now) } }], cancellation).ConfigureAwait(false) == PruneAtOnce)
            {
            }
        }
    }

    public ValueTask DisposeAsync() => schema.DisposeAsync();

    private async ValueTask WriteAsync(IReadOnlyList<StoreRow> rows, CancellationToken cancellation) => await schema.UseAsync(
        async (connection, cancellation) =>
        {
            var batch = new NpgsqlBatch(connection);
            await using var ended = batch.ConfigureAwait(false);
            writing.Write(batch, rows);
            // A database that may only be read refuses this too, although it changes no row.
            if (rows.Count == 0) batch.BatchCommands.Add(new($"update {quoted}.usage_daily set requests = requests where false"));
            return await batch.ExecuteNonQueryAsync(cancellation).ConfigureAwait(false);
        },
        cancellation).ConfigureAwait(false);

    /// <returns>The number of rows that were changed.</returns>
    private ValueTask<long> RunAsync(IReadOnlyList<NpgsqlBatchCommand> commands, CancellationToken cancellation) => schema.UseAsync(
        async (connection, cancellation) =>
        {
            var batch = new NpgsqlBatch(connection);
            await using var ended = batch.ConfigureAwait(false);
            foreach (var command in commands) batch.BatchCommands.Add(command);
            await batch.ExecuteNonQueryAsync(cancellation).ConfigureAwait(false);
            return commands.Sum(static command => (long)command.Rows);
        },
        cancellation);

    private async ValueTask<T?> FindAsync<T>(
        string sql, Func<NpgsqlDataReader, T> read, CancellationToken cancellation, params NpgsqlParameter[] parameters) where T : class =>
        await ReadAsync(sql, read, cancellation, parameters).ConfigureAwait(false) is [var first, ..] ? first : null;

    private ValueTask<IReadOnlyList<T>> ReadAsync<T>(
        string sql, Func<NpgsqlDataReader, T> read, CancellationToken cancellation, params NpgsqlParameter[] parameters) => schema.UseAsync(
        async (connection, cancellation) =>
        {
            var command = new NpgsqlCommand(sql, connection);
            await using var ended = command.ConfigureAwait(false);
            foreach (var parameter in parameters) command.Parameters.Add(parameter.Clone());
            var row = await command.ExecuteReaderAsync(cancellation).ConfigureAwait(false);
            await using var closed = row.ConfigureAwait(false);
            var found = new List<T>();
            while (await row.ReadAsync(cancellation).ConfigureAwait(false)) found.Add(read(row));
            return (IReadOnlyList<T>)found;
        },
        cancellation);

    private static NpgsqlParameter<T> Parameter<T>(T value) => new() { TypedValue = value };

    private static string? Text(NpgsqlDataReader row, int column) => row.IsDBNull(column) ? null : row.GetString(column);

    private static DateTimeOffset Time(NpgsqlDataReader row, int column) => row.GetFieldValue<DateTimeOffset>(column);
}
