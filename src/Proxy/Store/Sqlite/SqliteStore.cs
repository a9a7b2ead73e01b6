using Proxy.Streams;

namespace Proxy.Store.Sqlite;

/// <summary>
/// Records in a SQLite file. A committed row survives the end of the process and a loss of power: the write-ahead log is synchronised at every commit
/// (<c>synchronous = full</c>), which is why commits are grouped. Reads have a connection of their own and do not wait for a commit. SQLite blocks, so all of
/// it runs on the thread pool and never on a thread that serves connections. After a failure the file is opened again.
/// </summary>
/// <param name="path">The file. It is made, and its folder, at the first write; only their user may read them.</param>
/// <param name="time">Says what has expired.</param>
internal sealed class SqliteStore(string path, TimeProvider time) : IRecordStore
{
    /// <summary>Rows that are deleted in one transaction when expired ones go, so that records do not wait for it.</summary>
    private const int PruneAtOnce = 500;

    private readonly SqliteAccess writing = new(path, OpenAsync);
    private readonly SqliteAccess reading = new(path, OpenAsync);

    public IKeyLeases Leases => new SqliteKeyLeases(writing, time);

    private long Now => time.GetUtcNow().ToUnixTimeMilliseconds();

    public ValueTask<IReadOnlyList<string>> CheckAsync(CancellationToken cancellation) =>
        new(Task.Run<IReadOnlyList<string>>(() => SqliteDatabase.Check(path) is { } problem ? [problem] : [], cancellation));

    public async ValueTask CommitAsync(IReadOnlyList<StoreRow> rows, CancellationToken cancellation) =>
        await writing.RunAsync(
            connection =>
            {
                connection.Write(connection =>
                {
                    if (rows.Count == 0) SqliteDatabase.SetVersion(connection, SqliteSchema.Scripts);
                    SqliteRows.Write(connection, rows);
                });
                return true;
            }, cancellation).ConfigureAwait(false);

    public ValueTask<KeyRow?> FindKeyAsync(string owner, string key, CancellationToken cancellation) => reading.RunAsync(
        connection => Find(
            connection.Prepare("""
                select trace_id, digest, req_id, status, updated_at, expires_at from idempotency_log where owner = ? and key = ? and expires_at > ?
                """).Bind(owner).Bind(key).Bind((long?)Now),
            row => new KeyRow
            {
                Owner = owner, Key = key, TraceId = row.Text(0), Digest = row.Text(1), RequestId = row.TextOrNull(2), Status = row.Text(3),
                UpdatedAt = row.Time(4), ExpiresAt = row.Time(5),
            }), cancellation);

    public ValueTask<AnswerRow?> FindAnswerAsync(string owner, string id, CancellationToken cancellation) => reading.RunAsync(
        connection => FindAnswer(connection, "trace_id", owner, id) ?? FindAnswer(connection, "host_id", owner, id), cancellation);

    public ValueTask<bool> DeleteAnswerAsync(string owner, string id, CancellationToken cancellation) => writing.RunAsync(
        connection => connection.Prepare("delete from answers where owner = ? and (trace_id = ? or host_id = ?)").Bind(owner).Bind(id).Bind(id).Run() > 0,
        cancellation);

    public ValueTask<CompletionRow?> FindCompletionAsync(string owner, string requestId, CancellationToken cancellation) => reading.RunAsync(
        connection => Find(
            connection.Prepare("""
                select model, content, tool_calls, reasoning, finish_reason, winner, usage, events, created_at, expires_at
                from completions_cache where owner = ? and req_id = ? and expires_at > ?
                """).Bind(owner).Bind(requestId).Bind((long?)Now),
            row => new CompletionRow
            {
                Owner = owner, RequestId = requestId, Model = row.Text(0), Content = row.TextOrNull(1), ToolCalls = row.TextOrNull(2),
                Reasoning = row.TextOrNull(3), FinishReason = row.TextOrNull(4), Winner = row.TextOrNull(5), Usage = row.TextOrNull(6), Events = row.Bytes(7),
                CreatedAt = row.Time(8), ExpiresAt = row.Time(9),
            }), cancellation);

    public ValueTask<IReadOnlyList<UsageRow>> ReadUsageAsync(string? owner, DateOnly from, DateOnly to, CancellationToken cancellation) =>
        reading.RunAsync(
            connection =>
            {
                var found = new List<UsageRow>();
                var rows = connection.Prepare("""
                    select day, owner, model, requests, input_tokens, output_tokens from usage_daily
                    where day between ? and ? and (owner = ? or ?) order by day desc, owner, model
                    """).Bind(SqliteRows.Day(from)).Bind(SqliteRows.Day(to)).Bind(owner).Bind((long?)(owner is null ? 1 : 0));
                while (rows.Step())
                    found.Add(new(DateOnly.Parse(rows.Text(0), System.Globalization.CultureInfo.InvariantCulture), rows.Text(1), rows.Text(2), rows.Integer(3),
                        rows.Integer(4), rows.Integer(5)));
                return (IReadOnlyList<UsageRow>)found;
            }, cancellation);

    public ValueTask<long> ForgetAsync(string owner, CancellationToken cancellation) => writing.RunAsync(
        connection =>
        {
            var gone = 0L;
            connection.Execute("pragma secure_delete = on"); // the bytes go too, not only the rows
            try
            {
                connection.Write(connection =>
                {
                    foreach (var table in SqliteSchema.Tables) gone += connection.Prepare($"delete from {table} where owner = ?").Bind(owner).Run();
                });
            }
            finally
            {
                _ = connection.TryExecute("pragma secure_delete = off");
            }

            _ = connection.TryExecute("pragma wal_checkpoint(truncate)"); // as soon as no other reader needs the older pages
            return gone;
        }, cancellation);

    public async ValueTask PruneAsync(CancellationToken cancellation)
    {
        foreach (var table in (string[])["idempotency_log", "completions_cache", "answers", "key_leases", "artifacts"])
        {
            var sql = $"delete from {table} where rowid in (select rowid from {table} where expires_at <= ? limit {PruneAtOnce})";
            while (await writing.RunAsync(connection => connection.Prepare(sql).Bind((long?)Now).Run(), cancellation).ConfigureAwait(false) == PruneAtOnce)
            {
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        await reading.DisposeAsync().ConfigureAwait(false);
        await writing.DisposeAsync().ConfigureAwait(false); // last: it moves what is in the write-ahead log into the file
    }

    private static Task<SqliteConnection> OpenAsync(string path) => SqliteDatabase.OpenAsync(path, "", SqliteSchema.Scripts);

    private static T? Find<T>(SqliteStatement query, Func<SqliteStatement, T> read) where T : class
    {
        if (!query.Step()) return null;
        var row = read(query);
        query.Reset();
        return row;
    }

    private AnswerRow? FindAnswer(SqliteConnection connection, string column, string owner, string id) => Find(
        connection.Prepare($"""
            select trace_id, host_id, meta, frames, request, created_at, expires_at from answers
            where owner = ? and {column} = ? and expires_at > ? order by created_at desc limit 1
            """).Bind(owner).Bind(id).Bind((long?)Now),
        row => new AnswerRow
        {
            Owner = owner, TraceId = row.Text(0), HostId = row.TextOrNull(1), Meta = row.Bytes(2), Frames = row.Bytes(3), Request = row.BytesOrNull(4),
            CreatedAt = row.Time(5), ExpiresAt = row.Time(6),
        });
}
