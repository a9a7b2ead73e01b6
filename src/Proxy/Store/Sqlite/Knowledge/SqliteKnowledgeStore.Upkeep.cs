using Proxy.Knowledge;

namespace Proxy.Store.Sqlite.Knowledge;

/// <summary>What is deleted, and copies of everything.</summary>
internal sealed partial class SqliteKnowledgeStore
{
    public async ValueTask<int> ForgetAsync(string owner, CancellationToken cancellation)
    {
        if (!database.Exists) return 0;
        var gone = await database.DeleteAsync(
            connection =>
            {
                var workspaces = WorkspaceTable.IdsOf(connection, owner);
                foreach (var workspace in workspaces) Delete(connection, workspace);
                var files = FileTable.IdsOf(connection, owner);
                foreach (var file in files) DeleteFile(connection, file);
                return workspaces.Count + files.Count;
            }, cancellation).ConfigureAwait(false);
        await CleanAsync().ConfigureAwait(false);
        await database.CheckpointAsync(cancellation).ConfigureAwait(false);
        return gone;
    }

    /// <summary>
    /// The database and the vector files are copied one after the other while writers go on. A hold keeps the vectors of the copied state in their slots
    /// meanwhile (<see cref="Holds"/>); what is appended goes to new slots, which the copied state does not list.
    /// </summary>
    public async ValueTask BackupAsync(string folder, CancellationToken cancellation)
    {
        var id = Guid.NewGuid().ToString("n");
        try
        {
            if (Directory.Exists(folder) && Directory.EnumerateFileSystemEntries(folder).Any()) throw new IOException($"{folder} is not empty");
            Directory.CreateDirectory(folder, SqliteDatabase.OwnFolder);
            if (!database.Exists) return;
            await database.WriteAsync(
                connection =>
                {
                    Holds.Begin(connection, id, time.GetUtcNow());
                    return true;
                }, cancellation).ConfigureAwait(false);
            await Task.Run(() => KnowledgeBackup.Copy(database.File, vectors, folder, cancellation), cancellation).ConfigureAwait(false);
        }
        catch (Exception problem) when (KnowledgeDatabase.IsFailure(problem))
        {
            throw KnowledgeDatabase.Failure(problem);
        }
        finally
        {
            if (database.Exists)
            {
                await database.WriteAsync(
                    connection =>
                    {
                        Holds.End(connection, id);
                        return true;
                    }, CancellationToken.None).ConfigureAwait(false);
                await CleanAsync().ConfigureAwait(false);
            }
        }
    }

    /// <summary>
    /// Deletes what has expired, what ended processes have left, and uploads that were abandoned. Now and then; a failure is left to the next time.
    /// </summary>
    private async ValueTask PruneAsync(CancellationToken cancellation)
    {
        var now = Now;
        var last = Interlocked.Read(ref pruned);
        if (!database.Exists || (last != long.MinValue && now - last < (long)PruneStep.TotalMilliseconds)) return;
        if (Interlocked.CompareExchange(ref pruned, now, last) != last) return;
        try
        {
            if (await database.ReadAsync(false, connection => IsPruneDue(connection, now), cancellation).ConfigureAwait(false))
                await database.DeleteAsync(connection => Prune(connection, now), cancellation).ConfigureAwait(false);
            await CleanAsync().ConfigureAwait(false);
        }
        catch (KnowledgeStoreException)
        {
            // The write that called this has succeeded.
        }
    }

    private static bool IsPruneDue(SqliteConnection connection, long now) =>
        WorkspaceTable.ExpiredIds(connection, now).Count > 0 || FileTable.Expired(connection, now).Count > 0
        || FileTable.Abandoned(connection, now - (long)LongestPause.TotalMilliseconds).Count > 0 || Holds.Any(connection);

    private bool Prune(SqliteConnection connection, long now)
    {
        foreach (var workspace in WorkspaceTable.ExpiredIds(connection, now)) Delete(connection, workspace);
        foreach (var file in FileTable.Expired(connection, now)) DeleteFile(connection, file);
        foreach (var upload in FileTable.Abandoned(connection, now - (long)LongestPause.TotalMilliseconds)) FileTable.DeleteUpload(connection, upload);
        Holds.Prune(connection, time.GetUtcNow());
        return true;
    }

    /// <summary>
    /// Deletes what committed transactions have left to be deleted, in steps, so that other writers come in between. It is not cancelled with the call that has
    /// done its work already, and a failure is left to the next time.
    /// </summary>
    private async ValueTask CleanAsync()
    {
        try
        {
            while (await database.ReadAsync(false, Cleaning.IsDue, CancellationToken.None).ConfigureAwait(false)
                && await database.DeleteAsync(connection => Cleaning.Step(connection, vectors), CancellationToken.None).ConfigureAwait(false))
            {
            }
        }
        catch (KnowledgeStoreException)
        {
            // The disk is full, for example: what is left is noted in the database.
        }
    }
}
