using System.Globalization;
using Proxy.Knowledge;

namespace Proxy.Store.Sqlite.Knowledge;

/// <summary>A workspace with what only the store knows of it; a transaction changes it and saves it.</summary>
internal sealed record StoredWorkspace(Workspace Row)
{
    public required long Number { get; init; }

    /// <summary>Rises with every change of the slot table.</summary>
    public long Changes { get; init; }
    public int NextOrdinal { get; init; } = 1;

    /// <summary>The highest number of a vector set so far.</summary>
    public int LastSet { get; init; }

    /// <summary>The analyser's version that made all postings; 0: there are none yet; -1: several.</summary>
    public int Analyzer { get; init; }
    public long TextBytes { get; init; }
}

/// <summary>The workspaces and their vector sets.</summary>
internal static class WorkspaceTable
{
    private const string Columns = """
        number, id, owner, name, description, metadata, created_at, last_active_at, expires_after_days, version, changes, chunks, text_bytes, slots,
        next_ordinal, last_set, analyzer
        """;

    private const string NotExpired = "(expires_after_days is null or last_active_at + expires_after_days * 86400000 > ?)";

    public static IReadOnlyList<StoredWorkspace> All(SqliteConnection connection, long now) =>
        Read(connection, connection.Prepare($"select {Columns} from workspaces where {NotExpired} order by created_at, id").Bind(now));

    public static StoredWorkspace? Find(SqliteConnection connection, string id, long now) =>
        Read(connection, connection.Prepare($"select {Columns} from workspaces where id = ? and {NotExpired}").Bind(id).Bind(now)).FirstOrDefault();

    public static StoredWorkspace? ByNumber(SqliteConnection connection, long number) =>
        Read(connection, connection.Prepare($"select {Columns} from workspaces where number = ?").Bind(number)).FirstOrDefault();

    public static IReadOnlyList<string> ExpiredIds(SqliteConnection connection, long now) =>
        Texts(connection.Prepare($"select id from workspaces where not {NotExpired}").Bind(now));

    public static IReadOnlyList<string> IdsOf(SqliteConnection connection, string owner) =>
        Texts(connection.Prepare("select id from workspaces where owner = ?").Bind(owner));

    /// <summary>Adds a workspace that is not there.</summary>
    public static void Add(SqliteConnection connection, Workspace workspace)
    {
        connection.Prepare("""
            insert into workspaces(id, owner, name, description, metadata, created_at, last_active_at, expires_after_days, version, changes, chunks,
                text_bytes, slots, next_ordinal, last_set, analyzer)
            values (?, ?, ?, ?, ?, ?, ?, ?, 1, 0, 0, 0, 0, 1, 0, 0)
            """).Bind(workspace.Id).Bind(workspace.Owner).Bind(workspace.Name).Bind(workspace.Description).Bind(workspace.Metadata)
            .Bind(workspace.CreatedAt).Bind(workspace.LastActiveAt).Bind(workspace.ExpiresAfterDays).Run();
    }

    /// <summary>Writes everything but the vector sets.</summary>
    public static void Save(SqliteConnection connection, StoredWorkspace stored)
    {
        var row = stored.Row;
        connection.Prepare("""
            update workspaces set owner = ?, name = ?, description = ?, metadata = ?, last_active_at = ?, expires_after_days = ?, version = ?, changes = ?,
                chunks = ?, text_bytes = ?, slots = ?, next_ordinal = ?, last_set = ?, analyzer = ?
            where number = ?
            """).Bind(row.Owner).Bind(row.Name).Bind(row.Description).Bind(row.Metadata).Bind(row.LastActiveAt).Bind(row.ExpiresAfterDays)
            .Bind(row.Version).Bind(stored.Changes).Bind(row.Chunks).Bind(stored.TextBytes).Bind(row.Slots).Bind(stored.NextOrdinal)
            .Bind(stored.LastSet).Bind(stored.Analyzer).Bind(stored.Number).Run();
    }

    /// <summary>Writes the vector sets, and notes the files of those that are gone for deletion.</summary>
    public static void SaveSets(SqliteConnection connection, StoredWorkspace old, IReadOnlyList<VectorSet> vectors, IReadOnlyList<VectorSet> building)
    {
        foreach (var gone in Sets(old.Row).Where(set => !vectors.Concat(building).Any(kept => kept.Id == set.Id)))
            Doom(connection, old.Row.Id, gone.Id);
        connection.Prepare("delete from vector_sets where ws = ?").Bind(old.Number).Run();
        for (var i = 0; i < vectors.Count + building.Count; i++)
        {
            var (set, isBuilding) = i < vectors.Count ? (vectors[i], 0) : (building[i - vectors.Count], 1);
            connection.Prepare("insert into vector_sets(ws, id, model, dimensions, building, position) values (?, ?, ?, ?, ?, ?)")
                .Bind(old.Number).Bind(set.Id).Bind(set.Model).Bind(set.Dimensions).Bind(isBuilding).Bind(i).Run();
        }
    }

    /// <summary>Deletes the workspace's row and those of its files; chunks, postings and vector files are deleted later (<see cref="Cleaning"/>).</summary>
    public static void Delete(SqliteConnection connection, StoredWorkspace workspace)
    {
        foreach (var set in Sets(workspace.Row)) Doom(connection, workspace.Row.Id, set.Id);
        foreach (var table in (string[])["vector_sets", "workspace_files", "batches"])
            connection.Prepare($"delete from {table} where ws = ?").Bind(workspace.Number).Run();
        connection.Prepare("delete from workspaces where number = ?").Bind(workspace.Number).Run();
        connection.Prepare("insert into dead_workspaces(number) values (?)").Bind(workspace.Number).Run();
    }

    public static IEnumerable<VectorSet> Sets(Workspace workspace) => workspace.Vectors.Concat(workspace.Building);

    public static int NumberOf(VectorSet set) => int.TryParse(set.Id, CultureInfo.InvariantCulture, out var number) ? number : 0;

    private static void Doom(SqliteConnection connection, string workspace, string set) =>
        connection.Prepare("insert or ignore into dead_sets(name) values (?)").Bind(VectorFiles.NameOf(workspace, set)).Run();

    private static List<StoredWorkspace> Read(SqliteConnection connection, SqliteStatement rows)
    {
        var found = new List<StoredWorkspace>();
        while (rows.Step())
        {
            var row = new Workspace
            {
                Id = rows.Text(1), Owner = rows.Text(2), Name = rows.Text(3), Description = rows.TextOrNull(4), Metadata = rows.Text(5),
                CreatedAt = rows.Time(6), LastActiveAt = rows.Time(7), ExpiresAfterDays = rows.NumberOrNull(8), Version = rows.Integer(9),
                Chunks = rows.Integer(11), Slots = rows.Number(13),
            };
            found.Add(new(row)
            {
                Number = rows.Integer(0), Changes = rows.Integer(10), TextBytes = rows.Integer(12), NextOrdinal = rows.Number(14), LastSet = rows.Number(15),
                Analyzer = rows.Number(16),
            });
        }

        if (found.Count == 0) return found;
        // One statement for all: every chat with documents lists the workspaces.
        var sets = new Dictionary<long, (List<VectorSet> Vectors, List<VectorSet> Building)>();
        const string Select = "select ws, id, model, dimensions, building from vector_sets";
        var each = found.Count == 1
            ? connection.Prepare($"{Select} where ws = ? order by position").Bind(found[0].Number)
            : connection.Prepare($"{Select} order by ws, position");
        while (each.Step())
        {
            if (!sets.TryGetValue(each.Integer(0), out var own)) sets[each.Integer(0)] = own = ([], []);
            (each.Number(4) == 0 ? own.Vectors : own.Building).Add(new(each.Text(1), each.Text(2), each.Number(3)));
        }

        for (var i = 0; i < found.Count; i++)
            found[i] = sets.TryGetValue(found[i].Number, out var own) ? WithSets(found[i], own.Vectors, own.Building) : WithSets(found[i], [], []);
        return found;
    }

    private static StoredWorkspace WithSets(StoredWorkspace stored, List<VectorSet> vectors, List<VectorSet> building)
    {
        var usage = stored.TextBytes + (stored.Row.Chunks * vectors.Sum(static set => (long)set.Dimensions));
        return stored with { Row = stored.Row with { Vectors = vectors, Building = building, UsageBytes = usage } };
    }

    private static List<string> Texts(SqliteStatement rows)
    {
        var found = new List<string>();
        while (rows.Step()) found.Add(rows.Text(0));
        return found;
    }
}
