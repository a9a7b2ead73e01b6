using Npgsql;
using Proxy.Knowledge;
using static Proxy.Store.Postgres.Knowledge.PostgresCommands;

namespace Proxy.Store.Postgres.Knowledge;

/// <summary>A file of a workspace with its claim.</summary>
/// <param name="Worker">Who has the claim; null: no one.</param>
internal sealed record AttachedRow(WorkspaceFile File, string? Worker);

/// <summary>Reads and writes the files of workspaces, their batches and claims.</summary>
/// <param name="schema">The schema's name, quoted.</param>
internal sealed class AttachedRows(string schema)
{
    /// <summary>The columns of <see cref="ReadFile"/>, of the tables f and w.</summary>
    private const string Columns = """
        w.id, f.file_id, f.ordinal, f.name, f.path, f.sha256, f.status, f.error_code, f.error, f.attributes::text, f.chunk_tokens, f.overlap_tokens, f.batch,
        f.created_at, f.chunks, f.text_bytes + f.chunks::bigint * w.vector_bytes, f.worker
        """;

    private readonly string select =
        $"select {Columns} from {schema}.workspace_files f join {schema}.workspaces w on w.number = f.workspace where";

    public async Task<WorkspaceFile?> FindAsync(NpgsqlConnection connection, string workspace, string fileId, CancellationToken cancellation) =>
        (await connection.RowsAsync($"{select} w.id = $1 and f.file_id = $2", ReadFile, cancellation, Text(workspace), Text(fileId)).ConfigureAwait(false))
        .FirstOrDefault();

    /// <summary>The row with its claim, locked until the end of the transaction.</summary>
    public async Task<AttachedRow?> LockAsync(NpgsqlConnection connection, int workspace, string fileId, CancellationToken cancellation) =>
        (await connection.RowsAsync(
            $"{select} f.workspace = $1 and f.file_id = $2 for update of f", static row => new AttachedRow(ReadFile(row), row.TextOrNull(16)),
            cancellation, Of(workspace), Text(fileId)).ConfigureAwait(false)).FirstOrDefault();

    public Task<List<WorkspaceFile>> PageAsync(
        NpgsqlConnection connection, string workspace, FileStatus? status, string? batch, Page page, CancellationToken cancellation) =>
        Pages.ReadAsync(
            connection,
            $"{select} w.id = $1 and ($2::integer is null or f.status = $2) and ($3::text is null or f.batch = $3)", "f.created_at, f.file_id",
            id => $"select o.created_at, o.file_id from {schema}.workspace_files o where o.workspace = w.number and o.file_id = {id}",
            page, ReadFile, cancellation, Text(workspace), Integer((int?)status), Text(batch));

    public Task<List<WorkspaceFile>> OfOrdinalsAsync(
        NpgsqlConnection connection, string workspace, IEnumerable<int> ordinals, CancellationToken cancellation) =>
        connection.RowsAsync($"{select} w.id = $1 and f.ordinal = any($2)", ReadFile, cancellation, Text(workspace), Integers(ordinals));

    /// <summary>The newest row of each path that is completed or in progress.</summary>
    public Task<List<WorkspaceFile>> PathsAsync(NpgsqlConnection connection, string workspace, CancellationToken cancellation) => connection.RowsAsync(
        $"{select.Replace("select ", "select distinct on (f.path) ", StringComparison.Ordinal)} w.id = $1 and f.path is not null and f.status in (0, 1) "
            + "order by f.path, f.ordinal desc",
        ReadFile, cancellation, Text(workspace));

    /// <summary>The other files of a path that came before a file.</summary>
    public Task<List<WorkspaceFile>> OlderOfPathAsync(
        NpgsqlConnection connection, int workspace, string path, int ordinal, CancellationToken cancellation) =>
        connection.RowsAsync(
            $"{select} f.workspace = $1 and f.path = $2 and f.ordinal < $3", ReadFile, cancellation, Of(workspace), Text(path), Of(ordinal));

    public async Task<FileCounts> CountsAsync(NpgsqlConnection connection, string workspace, string? batch, CancellationToken cancellation) =>
        (await connection.RowsAsync(
            $"""
            select count(*) filter (where status = 0), count(*) filter (where status = 1), count(*) filter (where status = 2),
                   count(*) filter (where status = 3)
            from {schema}.workspace_files f join {schema}.workspaces w on w.number = f.workspace
            where w.id = $1 and ($2::text is null or f.batch = $2)
            """,
            static row => new FileCounts((int)row.GetInt64(0), (int)row.GetInt64(1), (int)row.GetInt64(2), (int)row.GetInt64(3)), cancellation, Text(workspace),
            Text(batch)).ConfigureAwait(false))[0];

    /// <summary>Adds a row as one that is in progress, with the workspace's next ordinal.</summary>
    public async Task<WorkspaceFile> AddAsync(NpgsqlConnection connection, WorkspaceRow workspace, WorkspaceFile file, CancellationToken cancellation)
    {
        var number = Of(workspace.Number);
        await connection.RunAsync(
            $"""
            insert into {schema}.workspace_files (workspace, ordinal, file_id, name, path, sha256, status, attributes, chunk_tokens, overlap_tokens, batch,
                created_at)
            values ($1, $2, $3, $4, $5, $6, 0, $7::json, $8, $9, $10, $11)
            """,
            cancellation, number, Of(workspace.NextOrdinal), Text(file.FileId), Text(file.Name), Text(file.Path), Text(file.Sha256), Text(file.Attributes),
            Integer(file.ChunkTokens), Integer(file.OverlapTokens), Text(file.Batch), Time(file.CreatedAt)).ConfigureAwait(false);
        await connection.RunAsync($"update {schema}.workspaces set next_ordinal = next_ordinal + 1 where number = $1", cancellation, number.Clone())
            .ConfigureAwait(false);
        return file with
        {
            Ordinal = workspace.NextOrdinal, Status = FileStatus.InProgress, ErrorCode = null, Error = null, Chunks = 0, UsageBytes = 0,
        };
    }

    /// <summary>Changes the status of a row that is in progress, and ends its claim. False: there is none.</summary>
    public async Task<bool> SaveAsync(NpgsqlConnection connection, int workspace, WorkspaceFile file, CancellationToken cancellation) =>
        await connection.RunAsync(
            $"""
            update {schema}.workspace_files set status = $4, error_code = $5, error = $6, worker = null, leased_until = null
            where workspace = $1 and file_id = $2 and ordinal = $3 and status = 0
            """,
            cancellation, Of(workspace), Text(file.FileId), Of(file.Ordinal), Integer((int)file.Status), Text(file.ErrorCode), Text(file.Error))
            .ConfigureAwait(false) > 0;

    /// <summary>Changes the attributes of a row. False: there is none.</summary>
    public async Task<bool> SetAttributesAsync(
        NpgsqlConnection connection, int workspace, string fileId, string attributes, CancellationToken cancellation) =>
        await connection.RunAsync(
            $"update {schema}.workspace_files set attributes = $3::json where workspace = $1 and file_id = $2", cancellation, Of(workspace), Text(fileId),
            Text(attributes)).ConfigureAwait(false) > 0;

    /// <summary>Notes chunks that were appended, and who has the claim from now on.</summary>
    public Task GrowAsync(
        NpgsqlConnection connection, int workspace, WorkspaceFile file, int chunks, long textBytes, FileStatus status, string? worker, DateTimeOffset? until,
        CancellationToken cancellation) =>
        connection.RunAsync(
            $"""
            update {schema}.workspace_files set chunks = chunks + $3, text_bytes = text_bytes + $4, status = $5, worker = $6, leased_until = $7
            where workspace = $1 and file_id = $2
            """,
            cancellation, Of(workspace), Text(file.FileId), Of(chunks), Of(textBytes), Integer((int)status), Text(worker), Time(until));

    public Task DeleteAsync(NpgsqlConnection connection, int workspace, string fileId, CancellationToken cancellation) =>
        connection.RunAsync($"delete from {schema}.workspace_files where workspace = $1 and file_id = $2", cancellation, Of(workspace), Text(fileId));

    /// <summary>Claims the oldest file that waits.</summary>
    public async Task<WorkspaceFile?> ClaimAsync(
        NpgsqlConnection connection, string worker, DateTimeOffset now, DateTimeOffset until, CancellationToken cancellation) =>
        (await connection.RowsAsync(
            $"""
            with next as materialized (
                select workspace, file_id from {schema}.workspace_files o where status = 0 and (worker is null or leased_until <= $2)
                order by created_at, file_id, (select id from {schema}.workspaces where number = o.workspace) limit 1 for update skip locked)
            update {schema}.workspace_files f set worker = $1, leased_until = $3
            from next, {schema}.workspaces w
            where f.workspace = next.workspace and f.file_id = next.file_id and w.number = f.workspace returning {Columns}
            """,
            ReadFile, cancellation, Text(worker), Time(now), Time(until)).ConfigureAwait(false)).FirstOrDefault();

    public Task ReleaseAsync(NpgsqlConnection connection, string worker, WorkspaceFile file, CancellationToken cancellation) => connection.RunAsync(
        $"""
        update {schema}.workspace_files f set worker = null, leased_until = null from {schema}.workspaces w
        where w.number = f.workspace and w.id = $1 and f.file_id = $2 and f.worker = $3
        """,
        cancellation, Text(file.Workspace), Text(file.FileId), Text(worker));

    /// <summary>Ends the claims in a workspace: its workers have vectors of models that were replaced.</summary>
    public Task ReleaseAllAsync(NpgsqlConnection connection, int workspace, CancellationToken cancellation) => connection.RunAsync(
        $"update {schema}.workspace_files set worker = null, leased_until = null where workspace = $1 and status = 0", cancellation, Of(workspace));

    public Task EndLeasesAsync(NpgsqlConnection connection, CancellationToken cancellation) => connection.RunAsync(
        $"update {schema}.workspace_files set worker = null, leased_until = null where status = 0 and worker is not null", cancellation);

    public Task AddBatchAsync(NpgsqlConnection connection, int workspace, FileBatch batch, CancellationToken cancellation) => connection.RunAsync(
        $"insert into {schema}.file_batches (id, workspace, created_at, is_cancelled) values ($1, $2, $3, $4) on conflict (id) do nothing", cancellation,
        Text(batch.Id), Of(workspace), Time(batch.CreatedAt), Of(batch.IsCancelled));

    public async Task<FileBatch?> BatchAsync(NpgsqlConnection connection, string workspace, string id, CancellationToken cancellation) =>
        (await connection.RowsAsync(
            $"""
            select b.created_at, b.is_cancelled from {schema}.file_batches b join {schema}.workspaces w on w.number = b.workspace
            where b.id = $1 and w.id = $2
            """,
            row => new FileBatch(id, workspace, row.Time(0), row.GetBoolean(1)), cancellation, Text(id), Text(workspace)).ConfigureAwait(false))
        .FirstOrDefault();

    /// <summary>Cancels a batch and its files that are in progress. False: there is none of this id.</summary>
    public async Task<bool> CancelBatchAsync(NpgsqlConnection connection, int workspace, string id, CancellationToken cancellation)
    {
        if (await connection.RunAsync(
            $"update {schema}.file_batches set is_cancelled = true where id = $1 and workspace = $2", cancellation, Text(id), Of(workspace))
            .ConfigureAwait(false) == 0) return false;
        await connection.RunAsync(
            $"""
            update {schema}.workspace_files set status = 3, worker = null, leased_until = null
            where workspace = $1 and batch = $2 and status = 0
            """,
            cancellation, Of(workspace), Text(id)).ConfigureAwait(false);
        return true;
    }

    private static WorkspaceFile ReadFile(NpgsqlDataReader row) => new()
    {
        Workspace = row.GetString(0), FileId = row.GetString(1), Ordinal = row.GetInt32(2), Name = row.GetString(3), Path = row.TextOrNull(4),
        Sha256 = row.GetString(5), Status = (FileStatus)row.GetInt16(6), ErrorCode = row.TextOrNull(7), Error = row.TextOrNull(8),
        Attributes = row.GetString(9), ChunkTokens = row.IntegerOrNull(10), OverlapTokens = row.IntegerOrNull(11), Batch = row.TextOrNull(12),
        CreatedAt = row.Time(13), Chunks = row.GetInt32(14), UsageBytes = row.GetInt64(15),
    };
}
