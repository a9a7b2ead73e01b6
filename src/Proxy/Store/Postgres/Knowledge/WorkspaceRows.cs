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
/// <param name="LastSet">The highest id of a vector set that it had.</param>
internal sealed record WorkspaceRow(int Number, Workspace Workspace, long Revision, int NextOrdinal, int Analyzer, long LastSet)
{
    /// <summary>The sets that searches use, and those that will replace them.</summary>
    public IEnumerable<VectorSet> AllSets => Workspace.Vectors.Concat(Workspace.Building);
}

/// <summary>Reads and writes the rows of workspaces.</summary>
/// <param name="schema">The schema's name, quoted.</param>
internal sealed class WorkspaceRows(string schema)
{
    /// <summary>
    /// A condition on w, at the time of the first parameter. Expired workspaces are not shown, and deleted by one of the next writes or claims.
    /// </summary>
    private const string IsExpired = "(w.expires_after_days is not null and w.last_active_at + make_interval(days => w.expires_after_days) <= $1)";

    /// <summary>The columns of <see cref="Read"/>, of a table that is called w.</summary>
    public const string Columns = """
        w.number, w.id, w.owner, w.name, w.description, w.metadata::text, w.created_at, w.last_active_at, w.expires_after_days, w.vectors::text,
        w.building::text, w.version, w.chunks, w.text_bytes + w.chunks * w.vector_bytes, w.slots, w.revision, w.next_ordinal, w.analyzer,
        w.last_set
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
        row.GetInt64(15), row.GetInt32(16), row.GetInt32(17), row.GetInt64(18));

    public Task<List<WorkspaceRow>> AllAsync(NpgsqlConnection connection, DateTimeOffset now, CancellationToken cancellation) =>
        connection.RowsAsync($"select {Columns} from {schema}.workspaces w where not {IsExpired}", Read, cancellation, Time(now));

    public async Task<WorkspaceRow?> FindAsync(NpgsqlConnection connection, string id, DateTimeOffset now, CancellationToken cancellation) =>
        (await connection.RowsAsync(
            $"select {Columns} from {schema}.workspaces w where w.id = $2 and not {IsExpired}", Read, cancellation, Time(now), Text(id)).ConfigureAwait(false))
        .FirstOrDefault();

    public Task<List<string>> ExpiredAsync(NpgsqlConnection connection, DateTimeOffset now, CancellationToken cancellation) =>
        connection.RowsAsync($"select w.id from {schema}.workspaces w where {IsExpired}", static row => row.GetString(0), cancellation, Time(now));

    /// <summary>
    /// Waits until no other transaction writes to the workspace, keeps others from it until this transaction ends, and reads the row. Null: it does not exist.
    /// </summary>
    public async Task<WorkspaceRow?> LockAsync(NpgsqlConnection connection, string id, CancellationToken cancellation)
    {
        // Two statements: one that waits sees the rows as they were before it waited.
        await connection.RowsAsync(
            "select pg_advisory_xact_lock(hashtextextended($1, 0))", static _ => 0, cancellation, Text($"workspace {id} of {schema}")).ConfigureAwait(false);
        return await FindAsync(connection, id, DateTimeOffset.MinValue, cancellation).ConfigureAwait(false);
    }

    /// <summary>Adds the row, or changes its descriptive members and its sets.</summary>
    /// <param name="connection">In a transaction that has the workspace's lock.</param>
    /// <param name="old">The row as it is; null: there is none.</param>
    /// <param name="workspace">What it is to be.</param>
    /// <param name="analyzer">The version of the analyser.</param>
    /// <param name="cancellation">Ends the statement.</param>
    public async Task<WorkspaceRow> SaveAsync(
        NpgsqlConnection connection, WorkspaceRow? old, Workspace workspace, int analyzer, CancellationToken cancellation)
    {
        var (vectors, building) = SetsOf(old, workspace);
        var last = vectors.Concat(building).Select(PostgresVectors.NumberOf).Append(old?.LastSet ?? 0).Max();
        return (await connection.RowsAsync(
            $"""
            insert into {schema}.workspaces as w (id, owner, name, description, metadata, created_at, last_active_at, expires_after_days, vectors, building,
                vector_bytes, analyzer, last_set)
            values ($1, $2, $3, $4, $5::json, $6, $7, $8, $9::json, $10::json, $11, $12, $13)
            on conflict (id) do update set owner = excluded.owner, name = excluded.name, description = excluded.description, metadata = excluded.metadata,
                last_active_at = excluded.last_active_at, expires_after_days = excluded.expires_after_days, vectors = excluded.vectors,
                building = excluded.building, vector_bytes = excluded.vector_bytes, last_set = excluded.last_set
            returning {Columns}
            """,
            Read, cancellation, Text(workspace.Id), Text(workspace.Owner), Text(workspace.Name), Text(workspace.Description), Text(workspace.Metadata),
            Time(workspace.CreatedAt), Time(workspace.LastActiveAt), Integer(workspace.ExpiresAfterDays), Text(WriteSets(vectors)), Text(WriteSets(building)),
            Of(vectors.Sum(Halfvec.BytesOf)), Of(analyzer), Of(last)).ConfigureAwait(false))[0];
    }

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
            update {schema}.workspaces w set chunks = chunks + $2, text_bytes = text_bytes + $3, slots = greatest(slots, $4),
                version = version + $5, revision = revision + 1
            where number = $1 returning {Columns}
            """,
            Read, cancellation, Of(row.Number), Of(chunks), Of(textBytes), Of(slots), Of(isVisible ? 1 : 0)).ConfigureAwait(false))[0];

    /// <summary>
    /// The sets that a caller saves. It may have read the workspace long ago: sets that have vectors are only replaced by a switch, and a set that was deleted
    /// does not come back.
    /// </summary>
    private static (IReadOnlyList<VectorSet> Vectors, IReadOnlyList<VectorSet> Building) SetsOf(WorkspaceRow? old, Workspace wanted)
    {
        if (old is null) return (wanted.Vectors, wanted.Building);
        var now = old.Workspace;
        bool IsNew(VectorSet set) => PostgresVectors.NumberOf(set) > old.LastSet;
        var vectors = now.Vectors.Count > 0 && now.Chunks > 0 ? now.Vectors : [.. wanted.Vectors.Where(set => IsNew(set) || now.Vectors.Contains(set))];
        return (vectors,
            [.. wanted.Building.Where(set => (IsNew(set) || now.Building.Contains(set)) && vectors.All(other => other.Id != set.Id))]);
    }

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
