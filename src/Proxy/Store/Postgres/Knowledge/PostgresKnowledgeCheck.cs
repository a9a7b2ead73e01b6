using Npgsql;

namespace Proxy.Store.Postgres.Knowledge;

/// <summary>Says what knowledge lacks in a database beyond what records need, with the SQL that its owner has to run. Changes nothing.</summary>
internal static class PostgresKnowledgeCheck
{
    private const string MayCreateSql = """
        select has_schema_privilege(n.oid, 'CREATE'), current_user::text, current_database()::text from pg_namespace n where n.nspname = $1
        """;

    public static async Task<IReadOnlyList<string>> RunAsync(NpgsqlConnection connection, string schema, CancellationToken cancellation)
    {
        var problems = new List<string>();
        if ((await PostgresVectors.FindExtensionAsync(connection, cancellation).ConfigureAwait(false)).Problem is { } missing) problems.Add(missing);
        // Without the schema, the check of the records says what is to be done.
        var rights = await connection.RowsAsync(
            MayCreateSql, static row => (MayCreate: row.GetBoolean(0), User: row.GetString(1), Database: row.GetString(2)), cancellation,
            PostgresCommands.Text(schema)).ConfigureAwait(false);
        if (rights is [{ MayCreate: false } right])
            problems.Add($"{PostgresTables.Quote(right.User)} may not create the tables of vectors in the schema {PostgresTables.Quote(schema)}; the owner of "
                + $"{PostgresTables.Quote(right.Database)} has to run: grant usage, create on schema {PostgresTables.Quote(schema)} to "
                + $"{PostgresTables.Quote(right.User)};");
        return problems;
    }
}
