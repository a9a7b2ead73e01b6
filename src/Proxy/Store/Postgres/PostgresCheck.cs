using Npgsql;

namespace Proxy.Store.Postgres;

/// <summary>Says what a database lacks, with the SQL that its owner has to run. Changes nothing.</summary>
internal static class PostgresCheck
{
    /// <summary>How the text begins that says so of pgvector, without which records can be kept.</summary>
    public const string NoVector = "the extension \"vector\" is missing";

    /// <summary>One row: what there is, and what the user of the connection may do.</summary>
    private const string Sql = """
        select current_user::text, current_database()::text,
               pg_is_in_recovery() or current_setting('default_transaction_read_only') = 'on',
               has_database_privilege(current_database(), 'CREATE'),
               n.oid is not null,
               n.oid is not null and has_schema_privilege(n.oid, 'USAGE'),
               n.oid is not null and has_schema_privilege(n.oid, 'CREATE'),
               (select count(*) from pg_class c where c.relnamespace = n.oid and c.relkind in ('r', 'p')
                    and not (has_table_privilege(c.oid, 'SELECT') and (c.relname = 'migrations'
                        or has_table_privilege(c.oid, 'INSERT') and has_table_privilege(c.oid, 'UPDATE') and has_table_privilege(c.oid, 'DELETE')))),
               exists (select from pg_extension where extname = 'vector'),
               exists (select from pg_available_extensions where name = 'vector'),
               current_setting('server_version_num')::int / 10000
        from (select 1) one left join pg_namespace n on n.nspname = $1
        """;

    public static async Task<IReadOnlyList<string>> RunAsync(NpgsqlConnection connection, string schema, CancellationToken cancellation)
    {
        var found = await AskAsync(connection, schema, cancellation).ConfigureAwait(false);
        var mayRead = found is { MayUse: true, ClosedTables: 0 };
        var version = mayRead ? await PostgresTables.VersionAsync(connection, schema, cancellation).ConfigureAwait(false) : 0;
        return [.. Problems(found, PostgresTables.Quote(schema), version)];
    }

    private static IEnumerable<string> Problems(Found found, string schema, int version)
    {
        var (user, database) = (PostgresTables.Quote(found.User), PostgresTables.Quote(found.Database));
        if (found.IsReadOnly) yield return "PostgreSQL may only be read: it is a standby, or default_transaction_read_only is on";

        var isBehind = found.ClosedTables == 0 && version < PostgresTables.Latest;
        if (!found.HasSchema && !found.MayCreateSchema)
            yield return $"the schema {schema} is missing and {user} may not create it; the owner of {database} has to run: "
                + $"create schema {schema} authorization {user};";
        else if (found.HasSchema && (!found.MayUse || (isBehind && !found.MayCreate)))
            yield return $"{user} may not create tables in the schema {schema}; the owner of {database} has to run: "
                + $"grant usage, create on schema {schema} to {user};";
        if (found.MayUse && found.ClosedTables > 0)
            yield return $"{user} may not read and write all tables of the schema {schema}; their owner has to run: "
                + $"grant select, insert, update, delete on all tables in schema {schema} to {user};";

        if (found.HasVector) yield break;
        var package = found.HasVectorFiles ? "" : $"install pgvector on the database's machine (in Debian: postgresql-{found.Version}-pgvector), then ";
        yield return $"{NoVector}; records work without it, workspaces of documents do not; to add it, {package}"
            + $"the owner of {database} has to run: create extension vector;";
    }

    private static async Task<Found> AskAsync(NpgsqlConnection connection, string schema, CancellationToken cancellation)
    {
        var command = new NpgsqlCommand(Sql, connection) { Parameters = { new NpgsqlParameter<string> { TypedValue = schema } } };
        await using var ended = command.ConfigureAwait(false);
        var row = await command.ExecuteReaderAsync(cancellation).ConfigureAwait(false);
        await using var closed = row.ConfigureAwait(false);
        await row.ReadAsync(cancellation).ConfigureAwait(false);
        return new(row.GetString(0), row.GetString(1), row.GetBoolean(2), row.GetBoolean(3), row.GetBoolean(4), row.GetBoolean(5), row.GetBoolean(6),
            row.GetInt64(7), row.GetBoolean(8), row.GetBoolean(9), row.GetInt32(10));
    }

    private sealed record Found(
        string User, string Database, bool IsReadOnly, bool MayCreateSchema, bool HasSchema, bool MayUse, bool MayCreate, long ClosedTables, bool HasVector,
        bool HasVectorFiles, int Version);
}
