using Npgsql;
using Proxy.Store.Postgres.Knowledge;

namespace Proxy.Store.Postgres;

/// <summary>
/// The tables. A database has had the scripts whose numbers stand in its table <c>migrations</c>. A script is never changed once it was released; a new one is
/// added, with which the previous version's code must still work: it may add tables, and columns that have a default.
/// </summary>
internal static class PostgresTables
{
    /// <summary>The tables that hold records, in the order in which every transaction touches them, so that no two wait for each other.</summary>
    public static readonly string[] Names = ["exchanges", "usage_daily", "idempotency_log", "answers", "completions_cache", "artifacts", "key_leases"];

    private static readonly string[] Scripts =
    [
        """
        create table {0}.exchanges (
            trace_id text primary key,
            correlation_id text not null,
            session text,
            owner text not null,
            req_id text,
            surface text not null,
            model text not null,
            route text not null,
            workspace text,
            pipeline text,
            winner text,
            backend text,
            status text not null,
            input_tokens integer,
            output_tokens integer,
            started_at timestamptz not null,
            first_token_ms double precision,
            duration_ms double precision not null,
            request bytea,
            answer bytea);
        create index exchanges_owner_started_at on {0}.exchanges (owner, started_at);
        create table {0}.idempotency_log (
            owner text not null,
            key text not null,
            trace_id text not null,
            req_id text,
            digest text not null,
            status text not null,
            result text, -- the trace id of the row of answers
            updated_at timestamptz not null,
            expires_at timestamptz not null,
            primary key (owner, key));
        create table {0}.completions_cache (
            owner text not null,
            req_id text not null,
            model text not null,
            content text,
            tool_calls json, -- not jsonb, which refuses the escape of the NUL character and changes what it keeps
            reasoning text,
            finish_reason text,
            winner text,
            usage json,
            events bytea not null,
            created_at timestamptz not null,
            expires_at timestamptz not null,
            primary key (owner, req_id));
        create table {0}.usage_daily (
            day date not null, -- UTC
            owner text not null,
            model text not null,
            requests bigint not null,
            input_tokens bigint not null,
            output_tokens bigint not null,
            primary key (day, owner, model));
        create table {0}.answers (
            trace_id text primary key,
            owner text not null,
            host_id text,
            meta json not null,
            frames bytea not null,
            request bytea,
            created_at timestamptz not null,
            expires_at timestamptz not null);
        create index answers_host_id on {0}.answers (owner, host_id) where host_id is not null;
        create index answers_expires_at on {0}.answers (expires_at);
        create index completions_cache_expires_at on {0}.completions_cache (expires_at);
        create index idempotency_log_expires_at on {0}.idempotency_log (expires_at);
        """,
        KnowledgeTables.Script,
        """
        create table {0}.key_leases (
            owner text not null,
            key text not null,
            holder text not null, -- the trace id of the call that generates the answer
            digest text not null,
            expires_at timestamptz not null, -- by the database's clock
            primary key (owner, key));
        """,
        """
        create table {0}.artifacts (
            trace_id text not null,
            key text not null,
            owner text not null,
            media_type text,
            uri text,
            value json,
            created_at timestamptz not null,
            expires_at timestamptz, -- null: never
            primary key (trace_id, key));
        create index artifacts_owner on {0}.artifacts (owner);
        """,
    ];

    /// <summary>The number of the last script.</summary>
    public static int Latest => Scripts.Length;

    /// <summary>
    /// Runs the scripts that the database has not had, all in one transaction. A lock of that transaction lets one process at a time do so. A database of a
    /// newer version is left as it is.
    /// </summary>
    /// <param name="connection">An open connection without a transaction.</param>
    /// <param name="schema">The schema's name, not quoted.</param>
    /// <param name="cancellation">Ends the wait for the lock.</param>
    public static async Task MigrateAsync(NpgsqlConnection connection, string schema, CancellationToken cancellation)
    {
        if (await VersionAsync(connection, schema, cancellation).ConfigureAwait(false) >= Latest) return;

        var transaction = await connection.BeginTransactionAsync(cancellation).ConfigureAwait(false);
        await using var ended = transaction.ConfigureAwait(false);
        await RunAsync(connection, "select pg_advisory_xact_lock(hashtextextended($1, 0))", cancellation, "tables of the proxy in " + schema)
            .ConfigureAwait(false);
        var version = await VersionAsync(connection, schema, cancellation).ConfigureAwait(false); // another process may have migrated it in the meantime
        var quoted = Quote(schema);
        // Without the right to make a schema, "if not exists" is an error even where it exists.
        if (version < 0) await RunAsync(connection, $"create schema {quoted}", cancellation).ConfigureAwait(false);
        if (version <= 0)
            await RunAsync(
                connection, $"create table if not exists {quoted}.migrations (version integer primary key, applied_at timestamptz not null default now())",
                cancellation).ConfigureAwait(false);
        for (var next = Math.Max(version, 0); next < Latest; next++)
        {
            await RunAsync(connection, Scripts[next].Replace("{0}", quoted, StringComparison.Ordinal), cancellation).ConfigureAwait(false);
            await RunAsync(connection, $"insert into {quoted}.migrations (version) values ({next + 1})", cancellation).ConfigureAwait(false);
        }

        await transaction.CommitAsync(cancellation).ConfigureAwait(false);
    }

    /// <summary>The number of the last script that the database has had; 0 without tables, -1 without the schema.</summary>
    public static async Task<int> VersionAsync(NpgsqlConnection connection, string schema, CancellationToken cancellation)
    {
        const string Sql = """
            select case when not exists (select from pg_namespace where nspname = $1) then -1
                        when not exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace
                                         where n.nspname = $1 and c.relname = 'migrations') then 0
                        else 1 end
            """;
        if (await RunAsync(connection, Sql, cancellation, schema).ConfigureAwait(false) is not 1 and var none) return (int)none!;
        return (int)(await RunAsync(connection, $"select coalesce(max(version), 0) from {Quote(schema)}.migrations", cancellation).ConfigureAwait(false))!;
    }

    /// <summary>A name as SQL has it.</summary>
    public static string Quote(string name) => $"\"{name.Replace("\"", "\"\"", StringComparison.Ordinal)}\"";

    private static async Task<object?> RunAsync(NpgsqlConnection connection, string sql, CancellationToken cancellation, string? parameter = null)
    {
        var command = new NpgsqlCommand(sql, connection) { CommandTimeout = 300 }; // seconds: another process's migration may take long
        await using var ended = command.ConfigureAwait(false);
        if (parameter is not null) command.Parameters.Add(new NpgsqlParameter<string> { TypedValue = parameter });
        return await command.ExecuteScalarAsync(cancellation).ConfigureAwait(false);
    }
}
