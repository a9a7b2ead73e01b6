using System.Text;
using System.Text.Json;
using Npgsql;
using Proxy.Knowledge;
using static Proxy.Store.Postgres.Knowledge.PostgresCommands;

namespace Proxy.Store.Postgres.Knowledge;

/// <summary>A workspace with what only the store knows of it.</summary>
/// <param name="Number">Its number in the other tables.</param>
/// <param name="Revision">Rises with every change of its slots.</param>
/// <param name="NextOrdinal">The ordinal of the next file.</param>
/// <param name="Analyzer">The version of the analyser that made its postings.</param>
internal sealed record WorkspaceRow(int Number, Workspace Workspace, long Revision, int NextOrdinal, int Analyzer)
{
    /// <summary>The sets that searches use, and those that will replace them.</summary>
    public IEnumerable<VectorSet> AllSets => Workspace.Vectors.Concat(Workspace.Building);

    /// <summary>The ids of the sets that new chunks have vectors of.</summary>
    public string SetIds => string.Join(',', Workspace.Vectors.Select(static set => set.Id));
}

/// <summary>Reads and writes the rows of workspaces.</summary>
/// <param name="schema">The schema's name, quoted.</param>
internal sealed class WorkspaceRows(string schema)
{
    /// <summary>The columns of <see cref="Read"/>, of a table that is called w.</summary>
    public const string Columns = """
        w.number, w.id, w.owner, w.name, w.description, w.metadata::text, w.created_at, w.last_active_at, w.expires_after_days, w.vectors::text,
        w.building::text, w.version, w.chunks, w.text_bytes + w.chunks * w.vector_bytes, w.slots, w.revision, w.next_ordinal, w.analyzer
        """;

    public static WorkspaceRow Read(NpgsqlDataReader row) => new(
        row.GetInt32(0),
        new()
        {
            Id = row.GetString(1), Owner = row.GetString(2), Name = row.GetString(3), Description = row.TextOrNull(4), Metadata = row.GetString(5),
            CreatedAt = row.Time(6), LastActiveAt = row.Time(7), ExpiresAfterDays = row.IntegerOrNull(8), Vectors = ReadSets(row.GetString(9)),
            Building = ReadSets(row.GetString(10)), Version = row.GetInt64(11), Chunks = row.GetInt64(12), UsageBytes = row.GetInt64(13),
            Slots = row.GetInt32(14),
        },
        row.GetInt64(15), row.GetInt32(16), row.GetInt32(17));

    public Task<List<WorkspaceRow>> AllAsync(NpgsqlConnection connection, CancellationToken cancellation) =>
        connection.RowsAsync($"select {Columns} from {schema}.workspaces w", Read, cancellation);

    public async Task<WorkspaceRow?> FindAsync(NpgsqlConnection connection, string id, CancellationToken cancellation) =>
        (await connection.RowsAsync($"select {Columns} from {schema}.workspaces w where w.id = $1", Read, cancellation, Text(id)).ConfigureAwait(false))
        .FirstOrDefault();

    /// <summary>
    /// Waits until no other transaction writes to the workspace, keeps others from it until this transaction ends, and reads the row. Null: it does not exist.
    /// </summary>
    public async Task<WorkspaceRow?> LockAsync(NpgsqlConnection connection, string id, CancellationToken cancellation)
    {
        // Two statements: one that waits sees the rows as they were before it waited.
        await connection.RowsAsync(
            "select pg_advisory_xact_lock(hashtextextended($1, 0))", static _ => 0, cancellation, Text($"workspace {id} of {schema}")).ConfigureAwait(false);
        return await FindAsync(connection, id, cancellation).ConfigureAwait(false);
    }

    /// <summary>Adds the row, or changes its descriptive members and its sets.</summary>
    public Task SaveAsync(NpgsqlConnection connection, Workspace workspace, int analyzer, CancellationToken cancellation) => connection.RunAsync(
        $"""
        insert into {schema}.workspaces (id, owner, name, description, metadata, created_at, last_active_at, expires_after_days, vectors, building,
            vector_bytes, analyzer)
        values ($1, $2, $3, $4, $5::json, $6, $7, $8, $9::json, $10::json, $11, $12)
        on conflict (id) do update set name = excluded.name, description = excluded.description, metadata = excluded.metadata,
            last_active_at = excluded.last_active_at, expires_after_days = excluded.expires_after_days, vectors = excluded.vectors,
            building = excluded.building, vector_bytes = excluded.vector_bytes
        """,
        cancellation, Text(workspace.Id), Text(workspace.Owner), Text(workspace.Name), Text(workspace.Description), Text(workspace.Metadata),
        Time(workspace.CreatedAt), Time(workspace.LastActiveAt), Integer(workspace.ExpiresAfterDays), Text(WriteSets(workspace.Vectors)),
        Text(WriteSets(workspace.Building)), Of(workspace.Vectors.Sum(Halfvec.BytesOf)), Of(analyzer));

    /// <summary>Makes the sets that were being built the ones that searches use.</summary>
    public Task SwitchAsync(NpgsqlConnection connection, WorkspaceRow row, CancellationToken cancellation) => connection.RunAsync(
        $"update {schema}.workspaces set vectors = building, building = '[]', vector_bytes = $2, version = version + 1 where number = $1", cancellation,
        Of(row.Number), Of(row.Workspace.Building.Sum(Halfvec.BytesOf)));

    /// <summary>Notes chunks that came or went.</summary>
    /// <param name="connection">In a transaction that has the workspace's lock.</param>
    /// <param name="row">The row as it is.</param>
    /// <param name="chunks">How many more there are now.</param>
    /// <param name="textBytes">The bytes of their texts.</param>
    /// <param name="slots">One more than the highest slot.</param>
    /// <param name="isVisible">Whether searches can find something else now.</param>
    /// <param name="cancellation">Ends the statement.</param>
    public async Task<WorkspaceRow> ChangeAsync(
        NpgsqlConnection connection, WorkspaceRow row, int chunks, long textBytes, int slots, bool isVisible, CancellationToken cancellation) =>
        (await connection.RowsAsync(
            $"""
            update {schema}.workspaces w set chunks = chunks + $2, text_bytes = text_bytes + $3, slots = $4, version = version + $5, revision = revision + 1
            where number = $1 returning {Columns}
            """,
            Read, cancellation, Of(row.Number), Of(chunks), Of(textBytes), Of(slots), Of(isVisible ? 1 : 0)).ConfigureAwait(false))[0];

    private static string WriteSets(IReadOnlyList<VectorSet> sets)
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartArray();
            foreach (var set in sets)
            {
                json.WriteStartObject();
                json.WriteString("id", set.Id);
                json.WriteString("model", set.Model);
                json.WriteNumber("dimensions", set.Dimensions);
                json.WriteEndObject();
            }

            json.WriteEndArray();
        }

        return Encoding.UTF8.GetString(buffer.ToArray());
    }

    private static IReadOnlyList<VectorSet> ReadSets(string written)
    {
        if (written is "[]") return [];
        using var json = JsonDocument.Parse(written);
        return
        [
            .. json.RootElement.EnumerateArray().Select(static set =>
                new VectorSet(set.GetProperty("id").GetString()!, set.GetProperty("model").GetString()!, set.GetProperty("dimensions").GetInt32())),
        ];
    }
}
