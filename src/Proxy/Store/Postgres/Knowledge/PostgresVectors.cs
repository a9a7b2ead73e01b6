using System.Globalization;
using Npgsql;
using NpgsqlTypes;
using Proxy.Knowledge;
using Proxy.Knowledge.Index;
using Proxy.Streams;
using static Proxy.Store.Postgres.Knowledge.PostgresCommands;

namespace Proxy.Store.Postgres.Knowledge;

/// <summary>
/// Sets of vectors. Each is a table <c>vec_WORKSPACE_SET(slot, v)</c> of pgvector's <c>halfvec</c> with an HNSW index, made when a workspace names the set and
/// dropped with it. The extension's schema is looked up, because it need not be in the search path.
/// </summary>
/// <param name="schema">The schema's name, quoted.</param>
/// <param name="exactRows">Up to so many vectors are compared one by one, which is exact.</param>
internal sealed class PostgresVectors(string schema, int exactRows)
{
    private const int MostCandidates = 1000; // the limit of hnsw.ef_search

    /// <summary>The vectors that a search through the index looks at before it gives up finding enough that the filter lets through.</summary>
    private const int MostScanned = 100_000;

    private string? extension;

    /// <summary>The schema of the extension, quoted. A <see cref="StoreException"/> says what is missing.</summary>
    public async Task<string> ExtensionAsync(NpgsqlConnection connection, CancellationToken cancellation)
    {
        if (extension is not null) return extension;
        var (found, problem) = await FindExtensionAsync(connection, cancellation).ConfigureAwait(false);
        return extension = found ?? throw new StoreException(problem!);
    }

    /// <summary>Finds the extension's schema, or says what is missing, with the SQL that its owner has to run.</summary>
    public static async Task<(string? Schema, string? Problem)> FindExtensionAsync(NpgsqlConnection connection, CancellationToken cancellation)
    {
        const string Sql = """
            select current_database()::text, current_setting('server_version_num')::int / 10000,
                   exists (select from pg_available_extensions where name = 'vector'),
                   (select extversion from pg_extension where extname = 'vector'),
                   (select nspname::text from pg_extension join pg_namespace n on n.oid = extnamespace where extname = 'vector')
            """;
        var (database, server, hasFiles, version, place) = (await connection.RowsAsync(
            Sql, static row => (row.GetString(0), row.GetInt32(1), row.GetBoolean(2), row.TextOrNull(3), row.TextOrNull(4)), cancellation)
            .ConfigureAwait(false))[0];
        var owner = $"the owner of {PostgresTables.Quote(database)} has to run: ";
        if (version is null)
            return (null, "knowledge is off: the extension \"vector\" is missing; to add it, "
                + (hasFiles ? "" : $"install pgvector on the database's machine (in Debian: postgresql-{server}-pgvector), then ")
                + owner + "create extension vector;");
        if (Version.TryParse(version, out var parsed) && parsed < new Version(0, 8))
            return (null, $"knowledge is off: the extension \"vector\" has version {version}, and 0.8 or newer is needed; install it, then {owner}"
                + "alter extension vector update;");
        return (PostgresTables.Quote(place!), null);
    }

    /// <summary>Makes the tables of new sets.</summary>
    public async Task CreateAsync(NpgsqlConnection connection, int workspace, IEnumerable<VectorSet> sets, CancellationToken cancellation)
    {
        foreach (var set in sets)
        {
            if (set.Dimensions is < 1 or > Halfvec.MostDimensions)
                throw new StoreException($"the embedding model {set.Model} makes vectors of {set.Dimensions} numbers; with PostgreSQL it can be at most "
                    + $"{Halfvec.MostDimensions}, the limit of pgvector's halfvec index: name another model in [knowledge] embedder");
            var (vector, table) = (await ExtensionAsync(connection, cancellation).ConfigureAwait(false), Table(workspace, set));
            await connection.RunAsync(
                $"""
                create table {table} (slot integer primary key, v {vector}.halfvec({set.Dimensions}) not null);
                alter table {table} alter column v set storage plain; -- in the row: a scan reads every vector
                create index on {table} using hnsw (v {vector}.halfvec_ip_ops);
                """,
                cancellation).ConfigureAwait(false);
        }
    }

    /// <summary>Drops the tables of sets.</summary>
    public async Task DropAsync(NpgsqlConnection connection, int workspace, IEnumerable<VectorSet> sets, CancellationToken cancellation)
    {
        foreach (var set in sets) await connection.RunAsync($"drop table if exists {Table(workspace, set)}", cancellation).ConfigureAwait(false);
    }

    /// <summary>Adds vectors. Those that the slots had before are deleted first.</summary>
    public async Task AddAsync(
        NpgsqlConnection connection, int workspace, VectorSet set, IReadOnlyList<(int Slot, float[] Vector)> vectors, CancellationToken cancellation)
    {
        if (vectors.FirstOrDefault(vector => vector.Vector.Length != set.Dimensions) is { Vector: { } wrong })
            throw new StoreException($"a vector of {wrong.Length} numbers does not belong to the model {set.Model}, which has {set.Dimensions}");
        await RemoveAsync(connection, workspace, [set], [.. vectors.Select(static vector => vector.Slot)], cancellation).ConfigureAwait(false);
        var copy = await connection.BeginBinaryImportAsync($"copy {Table(workspace, set)} (slot, v) from stdin (format binary)", cancellation)
            .ConfigureAwait(false);
        await using var ended = copy.ConfigureAwait(false);
        copy.Timeout = TimeSpan.FromSeconds(Patience);
        foreach (var (slot, vector) in vectors)
        {
            await copy.StartRowAsync(cancellation).ConfigureAwait(false);
            await copy.WriteAsync(slot, NpgsqlDbType.Integer, cancellation).ConfigureAwait(false);
            await copy.WriteAsync(Halfvec.Write(vector), NpgsqlDbType.Bytea, cancellation).ConfigureAwait(false); // the bytes are what halfvec reads
        }

        await copy.CompleteAsync(cancellation).ConfigureAwait(false);
    }

    public async Task RemoveAsync(
        NpgsqlConnection connection, int workspace, IEnumerable<VectorSet> sets, IReadOnlyList<int> slots, CancellationToken cancellation)
    {
        foreach (var set in sets)
            await connection.RunAsync($"delete from {Table(workspace, set)} where slot = any($1)", cancellation, Integers(slots)).ConfigureAwait(false);
    }

    /// <summary>The lowest slot whose chunk has no vector in a set; null: every chunk has one.</summary>
    public async Task<int?> MissingAsync(NpgsqlConnection connection, int workspace, VectorSet set, CancellationToken cancellation) =>
        (await connection.RowsAsync<int?>(
            $"""
            select c.slot from {schema}.chunks c where c.workspace = $1 and not exists (select from {Table(workspace, set)} v where v.slot = c.slot)
            order by c.slot limit 1
            """,
            static row => row.GetInt32(0), cancellation, Of(workspace)).ConfigureAwait(false)).FirstOrDefault();

    /// <summary>The vectors of slots; those without one are missing.</summary>
    public async Task<Dictionary<int, float[]>> ReadAsync(
        NpgsqlConnection connection, int workspace, VectorSet set, IReadOnlyList<int> slots, CancellationToken cancellation)
    {
        var vector = await ExtensionAsync(connection, cancellation).ConfigureAwait(false);
        var rows = await connection.RowsAsync(
            $"select slot, {vector}.halfvec_send(v) from {Table(workspace, set)} where slot = any($1)",
            static row => (Slot: row.GetInt32(0), Vector: Halfvec.ReadNormalised(row.GetFieldValue<byte[]>(1))), cancellation, Integers(slots))
            .ConfigureAwait(false);
        return rows.ToDictionary(static row => row.Slot, static row => row.Vector);
    }

    /// <summary>The slots of the nearest vectors, best first; equal ones by slot.</summary>
    /// <param name="connection">An open connection without a transaction.</param>
    /// <param name="workspace">The workspace's number.</param>
    /// <param name="set">The set.</param>
    /// <param name="query">A vector of length 1.</param>
    /// <param name="count">How many.</param>
    /// <param name="filter">The slots that may be found.</param>
    /// <param name="cancellation">Ends the search.</param>
    public async Task<IReadOnlyList<ScoredSlot>> NearestAsync(
        NpgsqlConnection connection, int workspace, VectorSet set, float[] query, int count, SlotFilter filter, CancellationToken cancellation)
    {
        var vector = await ExtensionAsync(connection, cancellation).ConfigureAwait(false);
        var (table, distance) = (Table(workspace, set), $"v operator({vector}.<#>) $1::real[]::{vector}.halfvec({set.Dimensions})");
        if (filter.Count > exactRows)
        {
            var found = await ThroughIndexAsync(connection, table, distance, query, count, filter, cancellation).ConfigureAwait(false);
            if (found.Count == Math.Min(count, filter.Count)) return Sorted(found);
        }

        // The distances are computed before they are sorted: else PostgreSQL may take the index, which is not exact.
        var isFew = filter.Count <= exactRows && !filter.IsAll;
        var rows = isFew ? $"unnest($3::integer[]) as slots (slot) join {table} using (slot)" : $"{table} where {SlotFilter.Sql("$3", "$4")}";
        return Sorted(await connection.RowsAsync(
            $"with all_of as materialized (select slot, {distance} as distance from {rows}) select slot, distance from all_of order by distance, slot limit $2",
            Scored, cancellation, isFew ? [Reals(query), Of(count), Integers(filter.Slots())] : [Reals(query), Of(count), .. filter.Parameters()])
            .ConfigureAwait(false));
    }

    /// <summary>
    /// A search through the index. It goes on until enough vectors have passed the filter. All is one transaction, to which the settings are limited, and one
    /// round trip.
    /// </summary>
    private static async Task<List<ScoredSlot>> ThroughIndexAsync(
        NpgsqlConnection connection, string table, string distance, float[] query, int count, SlotFilter filter, CancellationToken cancellation)
    {
        var candidates = Math.Clamp(count * 2, 100, MostCandidates).ToString(CultureInfo.InvariantCulture);
        var scanned = MostScanned.ToString(CultureInfo.InvariantCulture);
        var batch = new NpgsqlBatch(connection) { Timeout = Patience };
        await using var ended = batch.ConfigureAwait(false);
        batch.BatchCommands.Add(new($"""
            select set_config('hnsw.ef_search', '{candidates}', true), set_config('hnsw.iterative_scan', 'strict_order', true),
                   set_config('hnsw.max_scan_tuples', '{scanned}', true), set_config('enable_seqscan', 'off', true), set_config('enable_sort', 'off', true)
            """));
        var search = new NpgsqlBatchCommand(
            $"select slot, {distance} from {table} where {SlotFilter.Sql("$3", "$4")} order by {distance} limit $2");
        foreach (var parameter in (NpgsqlParameter[])[Reals(query), Of(count), .. filter.Parameters()]) search.Parameters.Add(parameter);
        batch.BatchCommands.Add(search);
        var row = await batch.ExecuteReaderAsync(cancellation).ConfigureAwait(false);
        await using var closed = row.ConfigureAwait(false);
        await row.NextResultAsync(cancellation).ConfigureAwait(false);
        var found = new List<ScoredSlot>(count);
        while (await row.ReadAsync(cancellation).ConfigureAwait(false)) found.Add(Scored(row));
        return found;
    }

    /// <summary>The operator gives the negative inner product, in which less is nearer.</summary>
    private static ScoredSlot Scored(NpgsqlDataReader row) => new(row.GetInt32(0), (float)-row.GetDouble(1));

    private static List<ScoredSlot> Sorted(List<ScoredSlot> found)
    {
        found.Sort(static (a, b) => a.Score != b.Score ? b.Score.CompareTo(a.Score) : a.Slot.CompareTo(b.Slot));
        return found;
    }

    /// <summary>The number that a set's id is.</summary>
    public static long NumberOf(VectorSet set) => long.TryParse(set.Id, NumberStyles.None, CultureInfo.InvariantCulture, out var number)
        ? number : throw new StoreException($"the vector set's id '{set.Id}' is not a number");

    private string Table(int workspace, VectorSet set) => string.Create(CultureInfo.InvariantCulture, $"{schema}.vec_{workspace}_{NumberOf(set)}");
}
