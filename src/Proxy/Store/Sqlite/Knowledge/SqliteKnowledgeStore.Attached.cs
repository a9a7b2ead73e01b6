using Proxy.Knowledge;

namespace Proxy.Store.Sqlite.Knowledge;

/// <summary>The files of workspaces, their batches and claims.</summary>
internal sealed partial class SqliteKnowledgeStore
{
    public async ValueTask<WorkspaceFile> AttachAsync(WorkspaceFile file, CancellationToken cancellation)
    {
        var attached = await database.DeleteAsync(
            connection =>
            {
                if (AttachedTable.Find(connection, file.Workspace, file.FileId) is { } old) Detach(connection, old);
                var workspace = Find(connection, file.Workspace) ?? throw new IOException($"there is no workspace {file.Workspace}");
                var change = new ChunkChange(connection, workspace, analyzer);
                AttachedTable.Add(connection, workspace.Number, file with { Ordinal = change.NextOrdinal() });
                change.Save();
                return AttachedTable.Find(connection, file.Workspace, file.FileId)!.Row;
            }, cancellation).ConfigureAwait(false);
        await PruneAsync(cancellation).ConfigureAwait(false);
        await CleanAsync().ConfigureAwait(false);
        return attached;
    }

    public ValueTask<WorkspaceFile?> AttachedAsync(string workspace, string fileId, CancellationToken cancellation) =>
        database.ReadAsync(null, connection => AttachedTable.Find(connection, workspace, fileId)?.Row, cancellation);

    public ValueTask<IReadOnlyList<WorkspaceFile>> AttachedAsync(
        string workspace, FileStatus? status, string? batch, Page page, CancellationToken cancellation) =>
        database.ReadAsync<IReadOnlyList<WorkspaceFile>>(
            [], connection => AttachedTable.List(connection, workspace, status, batch, page), cancellation);

    public ValueTask<IReadOnlyList<WorkspaceFile>> AttachedAsync(string workspace, IReadOnlyCollection<int> ordinals, CancellationToken cancellation) =>
        database.ReadAsync<IReadOnlyList<WorkspaceFile>>([], connection => AttachedTable.ByOrdinals(connection, workspace, ordinals), cancellation);

    public ValueTask<IReadOnlyList<WorkspaceFile>> PathsAsync(string workspace, CancellationToken cancellation) =>
        database.ReadAsync<IReadOnlyList<WorkspaceFile>>([], connection => AttachedTable.Newest(connection, workspace), cancellation);

    public ValueTask<FileCounts> CountsAsync(string workspace, string? batch, CancellationToken cancellation) =>
        database.ReadAsync(default, connection => AttachedTable.Count(connection, workspace, batch), cancellation);

    public async ValueTask SaveAsync(WorkspaceFile file, CancellationToken cancellation)
    {
        if (!database.Exists) return;
        await database.WriteAsync(
            connection =>
            {
                // One that was attached again is another row: what an earlier worker says of it is too late.
                if (AttachedTable.Find(connection, file.Workspace, file.FileId) is not { Row.Status: FileStatus.InProgress } old) return false;
                if (old.Row.Ordinal != file.Ordinal) return false;
                AttachedTable.SetStatus(connection, old.Id, file.Status, file.ErrorCode, file.Error);
                Touch(connection, file.Workspace);
                return true;
            }, cancellation).ConfigureAwait(false);
    }

    public async ValueTask<WorkspaceFile?> SetAttributesAsync(string workspace, string fileId, string attributes, CancellationToken cancellation)
    {
        if (!database.Exists) return null;
        return await database.WriteAsync(
            connection =>
            {
                if (AttachedTable.Find(connection, workspace, fileId) is not { } file) return null;
                AttachedTable.SetAttributes(connection, file.Id, attributes);
                Touch(connection, workspace);
                return file.Row with { Attributes = attributes };
            }, cancellation).ConfigureAwait(false);
    }

    public async ValueTask<bool> DetachAsync(string workspace, string fileId, CancellationToken cancellation)
    {
        if (!database.Exists) return false;
        var detached = await database.DeleteAsync(
            connection => AttachedTable.Find(connection, workspace, fileId) is { } file && Detach(connection, file), cancellation).ConfigureAwait(false);
        if (detached) await CleanAsync().ConfigureAwait(false);
        return detached;
    }

    public async ValueTask AddBatchAsync(FileBatch batch, CancellationToken cancellation) => await database.WriteAsync(
        connection =>
        {
            var workspace = Find(connection, batch.Workspace) ?? throw new IOException($"there is no workspace {batch.Workspace}");
            connection.Prepare("insert into batches(ws, id, created_at, cancelled) values (?, ?, ?, ?)")
                .Bind(workspace.Number).Bind(batch.Id).Bind(batch.CreatedAt).Bind(batch.IsCancelled ? 1 : 0).Run();
            return true;
        }, cancellation).ConfigureAwait(false);

    public ValueTask<FileBatch?> BatchAsync(string workspace, string id, CancellationToken cancellation) => database.ReadAsync(
        null, connection =>
        {
            var row = connection.Prepare("select b.created_at, b.cancelled from batches b join workspaces w on w.number = b.ws where w.id = ? and b.id = ?")
                .Bind(workspace).Bind(id);
            var batch = row.Step() ? new FileBatch(id, workspace, row.Time(0), row.Number(1) != 0) : null;
            row.Reset();
            return batch;
        }, cancellation);

    public async ValueTask<bool> CancelBatchAsync(string workspace, string id, CancellationToken cancellation) => database.Exists
        && await database.WriteAsync(
            connection =>
            {
                if (Find(connection, workspace) is not { } stored) return false;
                var changed = connection.Prepare("update batches set cancelled = 1 where ws = ? and id = ?").Bind(stored.Number).Bind(id).Run();
                if (changed > 0) AttachedTable.CancelBatch(connection, stored.Number, id);
                return changed > 0;
            }, cancellation).ConfigureAwait(false);

    public async ValueTask<WorkspaceFile?> ClaimAsync(string worker, TimeSpan lease, CancellationToken cancellation)
    {
        await PruneAsync(cancellation).ConfigureAwait(false);
        // Looks first without the write lock: mostly there is none.
        if (await database.ReadAsync(null, connection => AttachedTable.NextPending(connection, Now), cancellation).ConfigureAwait(false) is null) return null;
        return await database.WriteAsync(
            connection =>
            {
                if (AttachedTable.NextPending(connection, Now) is not { } id) return null;
                AttachedTable.Claim(connection, id, worker, (time.GetUtcNow() + lease).ToUnixTimeMilliseconds());
                return AttachedTable.ById(connection, id)?.Row;
            }, cancellation).ConfigureAwait(false);
    }

    public async ValueTask ReleaseAsync(string worker, WorkspaceFile file, CancellationToken cancellation)
    {
        if (!database.Exists) return;
        await database.WriteAsync(
            connection =>
            {
                if (AttachedTable.Find(connection, file.Workspace, file.FileId) is not { } found || found.Worker != worker) return false;
                AttachedTable.Claim(connection, found.Id, null, 0);
                return true;
            }, cancellation).ConfigureAwait(false);
    }

    /// <summary>Notes that searches can find something else now.</summary>
    private void Touch(SqliteConnection connection, string workspace)
    {
        var change = new ChunkChange(connection, Find(connection, workspace)!, analyzer);
        change.Touch();
        change.Save();
    }

    public async ValueTask EndLeasesAsync(CancellationToken cancellation)
    {
        if (!database.Exists) return;
        await database.WriteAsync(
            static connection => connection.Prepare("update workspace_files set lease_until = 0 where status = 0 and worker is not null").Run(), cancellation)
            .ConfigureAwait(false);
    }

    /// <summary>Removes a file with its chunks.</summary>
    private bool Detach(SqliteConnection connection, StoredFile file)
    {
        var change = new ChunkChange(connection, Find(connection, file.Row.Workspace)!, analyzer);
        change.Remove(file);
        AttachedTable.Delete(connection, file.Id);
        change.Save();
        return true;
    }
}
