using Npgsql;
using Proxy.Knowledge;
using Proxy.Knowledge.Analysis;
using Proxy.Knowledge.Index;
using static Proxy.Store.Postgres.Knowledge.PostgresCommands;

namespace Proxy.Store.Postgres.Knowledge;

/// <summary>
/// Documents in PostgreSQL, which needs the extension <c>vector</c> for them. Transactions that change a workspace take a lock on it, so that several proxies
/// can share the tables; nothing stays in a session, so PgBouncer may be between.
/// </summary>
internal sealed class PostgresKnowledgeStore : IKnowledgeStore
{
    /// <summary>The least time between two deletions of what has expired.</summary>
    private static readonly TimeSpan PruneStep = TimeSpan.FromMinutes(1);

    private readonly PostgresSchema schema;
    private readonly KnowledgeDatabase database;
    private readonly TimeProvider time;
    private readonly ITextAnalyzer analyzer;
    private readonly WorkspaceRows workspaces;
    private readonly AttachedRows attached;
    private readonly FileRows files;
    private readonly PostgresVectors vectors;
    private readonly ChunkRows chunks;
    private readonly SlotCache slots;
    private long pruned;

    /// <summary>Connects to nothing yet.</summary>
    /// <param name="schema">The schema of the tables. The store owns it.</param>
    /// <param name="analyzer">The analyser that makes the terms of chunks.</param>
    /// <param name="time">Says which claims have ended.</param>
    /// <param name="exactRows">Up to so many vectors are compared one by one; 20,000 take about as long as a search through the index.</param>
    public PostgresKnowledgeStore(PostgresSchema schema, ITextAnalyzer analyzer, TimeProvider time, int exactRows = 20_000)
    {
        (this.schema, this.time, this.analyzer, database) = (schema, time, analyzer, new(schema));
        (workspaces, attached, vectors) = (new(schema.Quoted), new(schema.Quoted), new(schema.Quoted, exactRows));
        (files, slots) = (new(database, time), new(schema.Quoted, workspaces));
        chunks = new(schema.Quoted, workspaces, vectors, analyzer);
    }

    public async ValueTask<IReadOnlyList<Workspace>> WorkspacesAsync(CancellationToken cancellation) =>
        [
            .. (await database.ReadAsync(
                [], (connection, cancellation) => workspaces.AllAsync(connection, Now, cancellation), cancellation).ConfigureAwait(false))
                .Select(static row => row.Workspace),
        ];

    public async ValueTask<Workspace?> WorkspaceAsync(string id, CancellationToken cancellation) =>
        (await database.ReadAsync(null, (connection, cancellation) => workspaces.FindAsync(connection, id, Now, cancellation), cancellation)
            .ConfigureAwait(false))?.Workspace;

    public async ValueTask SaveAsync(Workspace workspace, CancellationToken cancellation)
    {
        await database.WriteAsync(
            async (connection, cancellation) =>
            {
                await vectors.ExtensionAsync(connection, cancellation).ConfigureAwait(false);
                var old = await workspaces.LockAsync(connection, workspace.Id, cancellation).ConfigureAwait(false);
                if (old is null && workspace.Version > 0) return false; // it was stored, and deleted since the caller read it
                var row = await workspaces.SaveAsync(connection, old, workspace, analyzer.Version, cancellation).ConfigureAwait(false);
                IReadOnlyList<VectorSet> before = [.. old?.AllSets ?? []], after = [.. row.AllSets];
                await vectors.CreateAsync(connection, row.Number, after.Except(before), cancellation).ConfigureAwait(false);
                await vectors.DropAsync(connection, row.Number, before.Except(after), cancellation).ConfigureAwait(false);
                if (old is not null && !old.Workspace.Vectors.SequenceEqual(row.Workspace.Vectors))
                    await MarkAsync(connection, row, cancellation).ConfigureAwait(false);
                return true;
            },
            cancellation).ConfigureAwait(false);
        await PruneAsync(cancellation).ConfigureAwait(false);
    }

    public ValueTask<bool> DeleteWorkspaceAsync(string id, CancellationToken cancellation) => database.WriteAsync(
        (connection, cancellation) => DeleteWorkspaceAsync(connection, id, cancellation), cancellation);

    public async ValueTask<KnowledgeFile> AddFileAsync(KnowledgeFile file, Stream content, CancellationToken cancellation)
    {
        await database.WriteAsync(vectors.ExtensionAsync, cancellation).ConfigureAwait(false);
        return await files.AddAsync(file, content, cancellation).ConfigureAwait(false);
    }

    public ValueTask<KnowledgeFile?> FileAsync(string id, CancellationToken cancellation) =>
        database.ReadAsync(null, (connection, cancellation) => files.FindAsync(connection, id, cancellation), cancellation);

    public async ValueTask<IReadOnlyList<KnowledgeFile>> FilesAsync(string? owner, string? purpose, Page page, CancellationToken cancellation) =>
        await database.ReadAsync(
            [], (connection, cancellation) => files.PageAsync(connection, owner, purpose, page, cancellation), cancellation).ConfigureAwait(false);

    public ValueTask<bool> CopyFileAsync(string id, Stream to, CancellationToken cancellation) => new(files.CopyAsync(id, to, cancellation));

    public ValueTask<bool> DeleteFileAsync(string id, CancellationToken cancellation) =>
        database.WriteAsync((connection, cancellation) => DeleteFileAsync(connection, id, cancellation), cancellation);

    public async ValueTask<WorkspaceFile> AttachAsync(WorkspaceFile file, CancellationToken cancellation)
    {
        var added = await database.WriteAsync(
            async (connection, cancellation) =>
            {
                var workspace = await LockAsync(connection, file.Workspace, cancellation).ConfigureAwait(false) ?? throw Missing(file.Workspace);
                await DetachAsync(connection, workspace, file.FileId, cancellation).ConfigureAwait(false);
                return await attached.AddAsync(connection, workspace, file, cancellation).ConfigureAwait(false);
            },
            cancellation).ConfigureAwait(false);
        await PruneAsync(cancellation).ConfigureAwait(false);
        return added;
    }

    public ValueTask<WorkspaceFile?> AttachedAsync(string workspace, string fileId, CancellationToken cancellation) =>
        database.ReadAsync(null, (connection, cancellation) => attached.FindAsync(connection, workspace, fileId, cancellation), cancellation);

    public async ValueTask<IReadOnlyList<WorkspaceFile>> AttachedAsync(
        string workspace, FileStatus? status, string? batch, Page page, CancellationToken cancellation) =>
        await database.ReadAsync(
            [], (connection, cancellation) => attached.PageAsync(connection, workspace, status, batch, page, cancellation), cancellation)
            .ConfigureAwait(false);

    public async ValueTask<IReadOnlyList<WorkspaceFile>> AttachedAsync(
        string workspace, IReadOnlyCollection<int> ordinals, CancellationToken cancellation) =>
        await database.ReadAsync(
            [], (connection, cancellation) => attached.OfOrdinalsAsync(connection, workspace, ordinals, cancellation), cancellation).ConfigureAwait(false);

    public async ValueTask<IReadOnlyList<WorkspaceFile>> PathsAsync(string workspace, CancellationToken cancellation) =>
        await database.ReadAsync([], (connection, cancellation) => attached.PathsAsync(connection, workspace, cancellation), cancellation)
            .ConfigureAwait(false);

    public ValueTask<FileCounts> CountsAsync(string workspace, string? batch, CancellationToken cancellation) =>
        database.ReadAsync(default, (connection, cancellation) => attached.CountsAsync(connection, workspace, batch, cancellation), cancellation);

    public async ValueTask SaveAsync(WorkspaceFile file, CancellationToken cancellation) => await database.WriteAsync(
        async (connection, cancellation) =>
        {
            if (await LockAsync(connection, file.Workspace, cancellation).ConfigureAwait(false) is not { } workspace) return false;
            if (!await attached.SaveAsync(connection, workspace.Number, file, cancellation).ConfigureAwait(false)) return false;
            await MarkAsync(connection, workspace, cancellation).ConfigureAwait(false);
            return true;
        },
        cancellation).ConfigureAwait(false);

    public ValueTask<WorkspaceFile?> SetAttributesAsync(string workspace, string fileId, string attributes, CancellationToken cancellation) =>
        database.WriteAsync(
            async (connection, cancellation) =>
            {
                if (await LockAsync(connection, workspace, cancellation).ConfigureAwait(false) is not { } row) return null;
                if (!await attached.SetAttributesAsync(connection, row.Number, fileId, attributes, cancellation).ConfigureAwait(false)) return null;
                await MarkAsync(connection, row, cancellation).ConfigureAwait(false);
                return await attached.FindAsync(connection, workspace, fileId, cancellation).ConfigureAwait(false);
            },
            cancellation);

    public ValueTask<bool> DetachAsync(string workspace, string fileId, CancellationToken cancellation) => database.WriteAsync(
        async (connection, cancellation) =>
            await LockAsync(connection, workspace, cancellation).ConfigureAwait(false) is { } row
            && await DetachAsync(connection, row, fileId, cancellation).ConfigureAwait(false),
        cancellation);

    public async ValueTask AddBatchAsync(FileBatch batch, CancellationToken cancellation) => await database.WriteAsync(
        async (connection, cancellation) =>
        {
            var workspace = await LockAsync(connection, batch.Workspace, cancellation).ConfigureAwait(false) ?? throw Missing(batch.Workspace);
            await attached.AddBatchAsync(connection, workspace.Number, batch, cancellation).ConfigureAwait(false);
            return true;
        },
        cancellation).ConfigureAwait(false);

    public ValueTask<FileBatch?> BatchAsync(string workspace, string id, CancellationToken cancellation) =>
        database.ReadAsync(null, (connection, cancellation) => attached.BatchAsync(connection, workspace, id, cancellation), cancellation);

    public ValueTask<bool> CancelBatchAsync(string workspace, string id, CancellationToken cancellation) => database.WriteAsync(
        async (connection, cancellation) =>
            await LockAsync(connection, workspace, cancellation).ConfigureAwait(false) is { } row
            && await attached.CancelBatchAsync(connection, row.Number, id, cancellation).ConfigureAwait(false),
        cancellation);

    public async ValueTask<WorkspaceFile?> ClaimAsync(string worker, TimeSpan lease, CancellationToken cancellation)
    {
        await PruneAsync(cancellation).ConfigureAwait(false);
        return await database.ReadAsync(
            null, (connection, cancellation) => attached.ClaimAsync(connection, worker, Now, Now + lease, cancellation), cancellation).ConfigureAwait(false);
    }

    public ValueTask<bool> AppendAsync(
        string worker, TimeSpan lease, WorkspaceFile file, int from, IReadOnlyList<NewChunk> added, bool isLast, CancellationToken cancellation) =>
        database.WriteAsync(
            async (connection, cancellation) =>
            {
                if (await LockAsync(connection, file.Workspace, cancellation).ConfigureAwait(false) is not { } workspace) return false;
                if (await attached.LockAsync(connection, workspace.Number, file.FileId, cancellation).ConfigureAwait(false) is not { } found) return false;
                if (found.Worker != worker || found.File.Status != FileStatus.InProgress || found.File.Ordinal != file.Ordinal || found.File.Chunks != from)
                    return false;
                // Else the sets have changed since the worker read them: it has to read them again.
                if (!added.All(chunk => chunk.Vectors.Select(static vector => vector.Length)
                    .SequenceEqual(workspace.Workspace.Vectors.Select(static set => set.Dimensions)))) return false;

                var bytes = await chunks.AppendAsync(connection, workspace, found.File, file, added, isLast, cancellation).ConfigureAwait(false);
                await attached.GrowAsync(
                    connection, workspace.Number, file, added.Count, bytes, isLast ? FileStatus.Completed : FileStatus.InProgress, isLast ? null : worker,
                    isLast ? null : Now + lease, cancellation).ConfigureAwait(false);
                if (isLast && found.File.Path is { } path)
                    await RemoveOlderAsync(connection, workspace, path, file.Ordinal, cancellation).ConfigureAwait(false);
                return true;
            },
            cancellation);

    public async ValueTask ReleaseAsync(string worker, WorkspaceFile file, CancellationToken cancellation) => await database.WriteAsync(
        async (connection, cancellation) =>
        {
            await attached.ReleaseAsync(connection, worker, file, cancellation).ConfigureAwait(false);
            return true;
        },
        cancellation).ConfigureAwait(false);

    public async ValueTask EndLeasesAsync(CancellationToken cancellation) => await database.WriteAsync(
        async (connection, cancellation) =>
        {
            await attached.EndLeasesAsync(connection, cancellation).ConfigureAwait(false);
            return true;
        },
        cancellation).ConfigureAwait(false);

    public async ValueTask<IReadOnlyList<StoredChunk>> ChunksOfAsync(string workspace, string fileId, int from, int most, CancellationToken cancellation) =>
        await database.ReadAsync(
            [], (connection, cancellation) => chunks.OfFileAsync(connection, workspace, fileId, from, most, cancellation), cancellation)
            .ConfigureAwait(false);

    public async ValueTask<IReadOnlyList<StoredChunk>> ChunksFromAsync(string workspace, int slot, int most, CancellationToken cancellation) =>
        await database.ReadAsync([], (connection, cancellation) => chunks.FromAsync(connection, workspace, slot, most, cancellation), cancellation)
            .ConfigureAwait(false);

    public async ValueTask FillAsync(
        string workspace, VectorSet set, IReadOnlyList<(int Slot, float[] Vector)> filled, CancellationToken cancellation) => await database.WriteAsync(
        async (connection, cancellation) =>
        {
            if (await LockAsync(connection, workspace, cancellation).ConfigureAwait(false) is not { } row) return false;
            if (!row.Workspace.Building.Contains(set)) return false;
            // Slots are not used again while a set is being built, so a slot has the chunk of which this is the vector, or none.
            var present = (await connection.RowsAsync(
                $"select slot from {schema.Quoted}.chunks where workspace = $1 and slot = any($2)", static found => found.GetInt32(0), cancellation,
                Of(row.Number), Integers(filled.Select(static vector => vector.Slot))).ConfigureAwait(false)).ToHashSet();
            await vectors.AddAsync(
                connection, row.Number, set, [.. filled.Where(vector => present.Contains(vector.Slot))], cancellation).ConfigureAwait(false);
            return true;
        },
        cancellation).ConfigureAwait(false);

    public ValueTask<int> SwitchAsync(string workspace, CancellationToken cancellation) => database.WriteAsync(
        async (connection, cancellation) =>
        {
            if (await LockAsync(connection, workspace, cancellation).ConfigureAwait(false) is not { } row || row.Workspace.Building.Count == 0) return -1;
            foreach (var set in row.Workspace.Building)
            {
                if (await vectors.MissingAsync(connection, row.Number, set, cancellation).ConfigureAwait(false) is { } slot) return slot;
            }

            await workspaces.SwitchAsync(connection, row, cancellation).ConfigureAwait(false);
            await vectors.DropAsync(connection, row.Number, row.Workspace.Vectors, cancellation).ConfigureAwait(false);
            await attached.ReleaseAllAsync(connection, row.Number, cancellation).ConfigureAwait(false);
            return -1;
        },
        cancellation);

    public async ValueTask<IWorkspaceIndex?> OpenAsync(string workspace, CancellationToken cancellation)
    {
        var found = await ReadSlotsAsync(workspace, cancellation).ConfigureAwait(false);
        if (found?.Row.Analyzer < analyzer.Version)
        {
            await database.WriteAsync((connection, cancellation) => LockAsync(connection, workspace, cancellation), cancellation).ConfigureAwait(false);
            found = await ReadSlotsAsync(workspace, cancellation).ConfigureAwait(false);
        }

        return found is var (row, table) ? new PostgresWorkspaceIndex(database, row, table, chunks, vectors) : null;
    }

    public ValueTask<int> ForgetAsync(string owner, CancellationToken cancellation) => database.WriteAsync(
        async (connection, cancellation) =>
        {
            var gone = 0;
            var owned = await connection.RowsAsync(
                $"select id from {schema.Quoted}.workspaces where owner = $1", static row => row.GetString(0), cancellation, Text(owner)).ConfigureAwait(false);
            foreach (var id in owned.Order(StringComparer.Ordinal))
                gone += await DeleteWorkspaceAsync(connection, id, cancellation).ConfigureAwait(false) ? 1 : 0;
            foreach (var id in await files.OfOwnerAsync(connection, owner, cancellation).ConfigureAwait(false))
                gone += await DeleteFileAsync(connection, id, cancellation).ConfigureAwait(false) ? 1 : 0;
            return gone;
        },
        cancellation);

    public ValueTask BackupAsync(string folder, CancellationToken cancellation) => ValueTask.FromException(new KnowledgeStoreException(
        $"PostgreSQL keeps the documents, and its own programs back it up: pg_dump --schema={schema.Quoted} DATABASE"));

    public async ValueTask<IReadOnlyList<string>> CheckAsync(CancellationToken cancellation)
    {
        try
        {
            return await schema.RunAsync(PostgresKnowledgeCheck.RunAsync, cancellation).ConfigureAwait(false);
        }
        catch (Streams.StoreException problem)
        {
            return [problem.Message];
        }
    }

    public ValueTask DisposeAsync() => database.DisposeAsync();

    private DateTimeOffset Now => time.GetUtcNow();

    private ValueTask<(WorkspaceRow Row, SlotTable Slots)?> ReadSlotsAsync(string workspace, CancellationToken cancellation) =>
        database.ReadAsync(null, (connection, cancellation) => slots.ReadAsync(connection, workspace, Now, cancellation), cancellation);

    /// <summary>Takes the workspace's lock for this transaction. Postings of an older analyser are made anew first.</summary>
    private async Task<WorkspaceRow?> LockAsync(NpgsqlConnection connection, string id, CancellationToken cancellation) =>
        await workspaces.LockAsync(connection, id, cancellation).ConfigureAwait(false) is { } row
            ? await chunks.ReindexAsync(connection, row, cancellation).ConfigureAwait(false) : null;

    /// <summary>Notes that searches can find something else now.</summary>
    private Task<WorkspaceRow> MarkAsync(NpgsqlConnection connection, WorkspaceRow row, CancellationToken cancellation) =>
        workspaces.ChangeAsync(connection, row, 0, 0, row.Workspace.Slots, isVisible: true, cancellation);

    private async Task<bool> DeleteWorkspaceAsync(NpgsqlConnection connection, string id, CancellationToken cancellation)
    {
        if (await workspaces.LockAsync(connection, id, cancellation).ConfigureAwait(false) is not { } row) return false;
        await chunks.ClearAsync(connection, row, cancellation).ConfigureAwait(false);
        await connection.RunAsync($"delete from {schema.Quoted}.workspaces where number = $1", cancellation, Of(row.Number)).ConfigureAwait(false);
        return true;
    }

    private async Task<bool> DeleteFileAsync(NpgsqlConnection connection, string id, CancellationToken cancellation)
    {
        var users = await connection.RowsAsync(
            $"select w.id from {schema.Quoted}.workspaces w join {schema.Quoted}.workspace_files f on f.workspace = w.number where f.file_id = $1",
            static row => row.GetString(0), cancellation, Text(id)).ConfigureAwait(false);
        foreach (var user in users.Order(StringComparer.Ordinal)) // in one order, so that no two transactions wait for each other
        {
            if (await LockAsync(connection, user, cancellation).ConfigureAwait(false) is { } workspace)
                await DetachAsync(connection, workspace, id, cancellation).ConfigureAwait(false);
        }

        return await files.DeleteAsync(connection, id, cancellation).ConfigureAwait(false);
    }

    private async Task<bool> DetachAsync(NpgsqlConnection connection, WorkspaceRow workspace, string fileId, CancellationToken cancellation)
    {
        if (await attached.LockAsync(connection, workspace.Number, fileId, cancellation).ConfigureAwait(false) is not { File: var file }) return false;
        await chunks.RemoveAsync(connection, workspace, file, cancellation).ConfigureAwait(false);
        await attached.DeleteAsync(connection, workspace.Number, fileId, cancellation).ConfigureAwait(false);
        return true;
    }

    /// <summary>Removes the earlier files of a path. A later one that is still being read stays: it will replace this one.</summary>
    private async Task RemoveOlderAsync(NpgsqlConnection connection, WorkspaceRow workspace, string path, int ordinal, CancellationToken cancellation)
    {
        foreach (var file in await attached.OlderOfPathAsync(connection, workspace.Number, path, ordinal, cancellation).ConfigureAwait(false))
            await DetachAsync(connection, workspace, file.FileId, cancellation).ConfigureAwait(false);
    }

    /// <summary>Deletes what has expired, at most once a minute.</summary>
    private async Task PruneAsync(CancellationToken cancellation)
    {
        var now = Now.Ticks;
        var last = Volatile.Read(ref pruned);
        if (now - last < PruneStep.Ticks || Interlocked.CompareExchange(ref pruned, now, last) != last) return;
        var (gone, files) = await database.ReadAsync(
            ([], []),
            async (connection, cancellation) => (await workspaces.ExpiredAsync(connection, Now, cancellation).ConfigureAwait(false),
                await this.files.ExpiredAsync(connection, cancellation).ConfigureAwait(false)),
            cancellation).ConfigureAwait(false);
        foreach (var id in gone) await DeleteWorkspaceAsync(id, cancellation).ConfigureAwait(false);
        foreach (var id in files) await DeleteFileAsync(id, cancellation).ConfigureAwait(false);
    }

    private static KnowledgeStoreException Missing(string workspace) => new($"there is no workspace {workspace}");
}
