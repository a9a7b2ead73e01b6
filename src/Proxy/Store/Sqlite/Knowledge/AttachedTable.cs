using Proxy.Knowledge;

namespace Proxy.Store.Sqlite.Knowledge;

/// <summary>A file in a workspace with what only the store knows of it.</summary>
internal sealed record StoredFile(WorkspaceFile Row, long Id, string? Worker);

/// <summary>The files of the workspaces.</summary>
internal static class AttachedTable
{
    private const string Select = """
        select f.id, w.id, f.file, f.ordinal, f.name, f.path, f.sha256, f.status, f.error_code, f.error, f.attributes, f.chunk_tokens, f.overlap_tokens,
            f.batch, f.created_at, f.chunks,
            f.text_bytes + f.chunks * (select coalesce(sum(dimensions), 0) from vector_sets s where s.ws = f.ws and s.building = 0), f.worker
        from workspace_files f join workspaces w on w.number = f.ws
        """;

    public static StoredFile? Find(SqliteConnection connection, string workspace, string file) =>
        Read(connection.Prepare($"{Select} where w.id = ? and f.file = ?").Bind(workspace).Bind(file)).FirstOrDefault();

    public static StoredFile? ById(SqliteConnection connection, long id) => Read(connection.Prepare($"{Select} where f.id = ?").Bind(id)).FirstOrDefault();

    public static List<StoredFile> ByFile(SqliteConnection connection, string file) =>
        Read(connection.Prepare($"{Select} where f.file = ?").Bind(file));

    /// <summary>The files of a path that were attached before an ordinal was given.</summary>
    public static List<StoredFile> OlderOfPath(SqliteConnection connection, long workspace, string path, int ordinal) =>
        Read(connection.Prepare($"{Select} where f.ws = ? and f.path = ? and f.ordinal < ?").Bind(workspace).Bind(path).Bind(ordinal));

    public static List<WorkspaceFile> List(SqliteConnection connection, string workspace, FileStatus? status, string? batch, Page page)
    {
        const string Of = "f.ws = (select number from workspaces where id = ?1) and";
        var query = new PageQuery(page, "workspace_files f", "f.created_at", "f.file");
        var rows = connection.Prepare($"""
            {Select} where {Of} (?2 is null or f.status = ?2) and (?3 is null or f.batch = ?3) {query.Where($"{Of} f.file = ?4", $"{Of} f.file = ?5")}
            order by {query.Order} limit ?6
            """).Bind(workspace).Bind((int?)status).Bind(batch).Bind(page.After).Bind(page.Before).Bind(page.Most);
        return query.InOrder(Rows(rows));
    }

    public static List<WorkspaceFile> ByOrdinals(SqliteConnection connection, string workspace, IReadOnlyCollection<int> ordinals)
    {
        var found = new List<WorkspaceFile>(ordinals.Count);
        foreach (var ordinal in ordinals)
            found.AddRange(Rows(connection.Prepare($"{Select} where w.id = ? and f.ordinal = ?").Bind(workspace).Bind(ordinal)));
        return found;
    }

    public static List<WorkspaceFile> Newest(SqliteConnection connection, string workspace) => Rows(connection.Prepare($"""
        {Select} where w.id = ?1 and f.path is not null and f.ordinal = (
            select max(o.ordinal) from workspace_files o where o.ws = f.ws and o.path = f.path and o.status in (0, 1))
        """).Bind(workspace));

    public static FileCounts Count(SqliteConnection connection, string workspace, string? batch)
    {
        var rows = connection.Prepare("""
            select status, count(*) from workspace_files where ws = (select number from workspaces where id = ?1) and (?2 is null or batch = ?2) group by status
            """).Bind(workspace).Bind(batch);
        var counts = new int[4];
        while (rows.Step()) counts[rows.Number(0)] = rows.Number(1);
        return new(counts[0], counts[1], counts[2], counts[3]);
    }

    /// <summary>Adds a file that begins.</summary>
    public static void Add(SqliteConnection connection, long workspace, WorkspaceFile file) => connection.Prepare("""
        insert into workspace_files(ws, file, ordinal, name, path, sha256, status, error_code, error, attributes, chunk_tokens, overlap_tokens, batch,
            created_at, chunks, text_bytes)
        values (?, ?, ?, ?, ?, ?, 0, null, null, ?, ?, ?, ?, ?, 0, 0)
        """).Bind(workspace).Bind(file.FileId).Bind(file.Ordinal).Bind(file.Name).Bind(file.Path).Bind(file.Sha256).Bind(file.Attributes)
        .Bind(file.ChunkTokens).Bind(file.OverlapTokens).Bind(file.Batch).Bind(file.CreatedAt).Run();

    /// <summary>Adds to the counts of what is stored of the file.</summary>
    public static void Grow(SqliteConnection connection, long id, int chunks, long textBytes) =>
        connection.Prepare("update workspace_files set chunks = chunks + ?, text_bytes = text_bytes + ? where id = ?")
            .Bind(chunks).Bind(textBytes).Bind(id).Run();

    /// <summary>Sets the status, and ends the claim.</summary>
    public static void SetStatus(SqliteConnection connection, long id, FileStatus status, string? code = null, string? error = null) =>
        connection.Prepare("update workspace_files set status = ?, error_code = ?, error = ?, worker = null, lease_until = null where id = ?")
            .Bind((int)status).Bind(code).Bind(error).Bind(id).Run();

    public static void SetAttributes(SqliteConnection connection, long id, string attributes) =>
        connection.Prepare("update workspace_files set attributes = ? where id = ?").Bind(attributes).Bind(id).Run();

    /// <summary>Gives the file to a worker; null: to no one.</summary>
    public static void Claim(SqliteConnection connection, long id, string? worker, long until) =>
        connection.Prepare("update workspace_files set worker = ?, lease_until = ? where id = ?")
            .Bind(worker).Bind(worker is null ? null : until).Bind(id).Run();

    /// <summary>Takes the claims of a workspace from its workers, who have to begin again with what has changed. No worker has an empty name.</summary>
    public static void Unclaim(SqliteConnection connection, long workspace) =>
        connection.Prepare("update workspace_files set worker = '', lease_until = 0 where ws = ? and status = 0 and worker is not null").Bind(workspace).Run();

    /// <summary>The oldest file that waits for a worker.</summary>
    public static long? NextPending(SqliteConnection connection, long now)
    {
        var row = connection.Prepare("""
            select f.id from workspace_files f where status = 0 and (worker is null or lease_until <= ?)
            order by created_at, file, (select w.id from workspaces w where w.number = f.ws) limit 1
            """).Bind(now);
        long? found = row.Step() ? row.Integer(0) : null;
        row.Reset();
        return found;
    }

    public static void CancelBatch(SqliteConnection connection, long workspace, string batch) => connection.Prepare("""
        update workspace_files set status = 3, worker = null, lease_until = null where ws = ? and batch = ? and status = 0
        """).Bind(workspace).Bind(batch).Run();

    public static void Delete(SqliteConnection connection, long id) => connection.Prepare("delete from workspace_files where id = ?").Bind(id).Run();

    /// <summary>The ordinals of the files whose chunks may be found.</summary>
    public static HashSet<int> Live(SqliteConnection connection, long workspace)
    {
        var live = new HashSet<int>();
        var rows = connection.Prepare("select ordinal from workspace_files where ws = ? and status = 1").Bind(workspace);
        while (rows.Step()) live.Add(rows.Number(0));
        return live;
    }

    private static List<WorkspaceFile> Rows(SqliteStatement rows) => [.. Read(rows).Select(static file => file.Row)];

    private static List<StoredFile> Read(SqliteStatement rows)
    {
        var found = new List<StoredFile>();
        while (rows.Step())
        {
            var row = new WorkspaceFile
            {
                Workspace = rows.Text(1), FileId = rows.Text(2), Ordinal = rows.Number(3), Name = rows.Text(4), Path = rows.TextOrNull(5),
                Sha256 = rows.Text(6), Status = (FileStatus)rows.Number(7), ErrorCode = rows.TextOrNull(8), Error = rows.TextOrNull(9),
                Attributes = rows.Text(10), ChunkTokens = rows.NumberOrNull(11), OverlapTokens = rows.NumberOrNull(12), Batch = rows.TextOrNull(13),
                CreatedAt = rows.Time(14), Chunks = rows.Number(15), UsageBytes = rows.Integer(16),
            };
            found.Add(new(row, rows.Integer(0), rows.TextOrNull(17)));
        }

        return found;
    }
}
