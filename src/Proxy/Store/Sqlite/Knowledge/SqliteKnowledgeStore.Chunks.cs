using Proxy.Knowledge;
using Proxy.Knowledge.Index;

namespace Proxy.Store.Sqlite.Knowledge;

/// <summary>The chunks, and the sets of their vectors.</summary>
internal sealed partial class SqliteKnowledgeStore
{
    public async ValueTask<bool> AppendAsync(
        string worker, TimeSpan lease, WorkspaceFile file, int from, IReadOnlyList<NewChunk> chunks, bool isLast, CancellationToken cancellation)
    {
        if (!database.Exists) return false;
        var replaced = false;
        bool Work(SqliteConnection connection)
        {
            if (AttachedTable.Find(connection, file.Workspace, file.FileId) is not { } stored || !IsTurn(stored, worker, file, from)) return false;
            var workspace = Find(connection, file.Workspace)!;
            var sets = workspace.Row.Vectors;
            // The sets have changed since the worker read them: it has to read them again.
            if (chunks.Any(chunk => chunk.Vectors.Count != sets.Count || chunk.Vectors.Where((vector, i) => vector.Length != sets[i].Dimensions).Any()))
                return false;

            var change = new ChunkChange(connection, workspace, analyzer);
            var into = change.TakeSlots(chunks.Count);
            if (isLast && stored.Row.Path is { } path)
            {
                foreach (var other in AttachedTable.OlderOfPath(connection, workspace.Number, path, stored.Row.Ordinal))
                {
                    replaced = true;
                    change.Remove(other);
                    AttachedTable.Delete(connection, other.Id);
                }
            }

            change.Add(stored, file.Name, from, chunks, into);
            if (isLast)
            {
                AttachedTable.SetStatus(connection, stored.Id, FileStatus.Completed);
                change.Touch();
            }
            else
            {
                AttachedTable.Claim(connection, stored.Id, worker, (time.GetUtcNow() + lease).ToUnixTimeMilliseconds());
            }

            change.Save();
            for (var i = 0; i < sets.Count && chunks.Count > 0; i++) Write(workspace.Row.Id, sets[i], into.Select((slot, n) => (slot, chunks[n].Vectors[i])));
            return true;
        }

        var appended = isLast && file.Path is not null
            ? await database.DeleteAsync(Work, cancellation).ConfigureAwait(false)
            : await database.WriteAsync(Work, cancellation).ConfigureAwait(false);
        if (replaced) await CleanAsync().ConfigureAwait(false);
        return appended;
    }

    public ValueTask<IReadOnlyList<StoredChunk>> ChunksOfAsync(string workspace, string fileId, int from, int most, CancellationToken cancellation) =>
        database.ReadAsync<IReadOnlyList<StoredChunk>>([], connection => ChunkTable.OfFile(connection, workspace, fileId, from, most), cancellation);

    public ValueTask<IReadOnlyList<StoredChunk>> ChunksFromAsync(string workspace, int slot, int most, CancellationToken cancellation) =>
        database.ReadAsync<IReadOnlyList<StoredChunk>>(
            [], connection => Find(connection, workspace) is { } stored ? ChunkTable.From(connection, stored.Number, slot, most) : [], cancellation);

    public async ValueTask FillAsync(
        string workspace, VectorSet set, IReadOnlyList<(int Slot, float[] Vector)> vectors, CancellationToken cancellation)
    {
        if (!database.Exists || vectors.Count == 0) return;
        await database.WriteAsync(
            connection =>
            {
                if (Find(connection, workspace) is not { } stored || !stored.Row.Building.Contains(set)) return false;
                // Slots are not used again while a set is being built, so a slot has the chunk of which this is the vector, or none.
                var there = vectors.Where(vector => ChunkTable.Has(connection, ChunkTable.IdOf(stored.Number, vector.Slot))).ToArray();
                if (there.Length > 0) Write(workspace, set, there);
                return true;
            }, cancellation).ConfigureAwait(false);
    }

    public async ValueTask<int> SwitchAsync(string workspace, CancellationToken cancellation)
    {
        if (!database.Exists) return -1;
        var (missing, number) = await database.WriteAsync(
            connection =>
            {
                if (Find(connection, workspace) is not { } stored || stored.Row.Building.Count == 0) return (-1, 0L);
                if (Missing(connection, stored) is { } slot) return (slot, 0L);
                WorkspaceTable.SaveSets(connection, stored, stored.Row.Building, []);
                AttachedTable.Unclaim(connection, stored.Number); // their workers have vectors of the old models
                WorkspaceTable.Save(connection, stored with { Row = stored.Row with { Version = stored.Row.Version + 1 } });
                return (-1, stored.Number);
            }, cancellation).ConfigureAwait(false);
        if (number != 0) await CleanAsync().ConfigureAwait(false);
        return missing;
    }

    public ValueTask<IWorkspaceIndex?> OpenAsync(string workspace, CancellationToken cancellation) => database.ReadAsync<IWorkspaceIndex?>(
        null, connection =>
        {
            if (WorkspaceTable.Find(connection, workspace, Now) is not { } stored) return null;
            var cached = slots.Read(connection, stored);
            vectors.Keep(stored);
            return new SqliteWorkspaceIndex(
                database, stored, cached, [.. stored.Row.Vectors.Select(set => vectors.Map(stored, set, cached.Table.Length))]);
        }, cancellation);

    private static bool IsTurn(StoredFile stored, string worker, WorkspaceFile file, int from) =>
        stored.Row.Status is FileStatus.InProgress && (stored.Worker is null || stored.Worker == worker)
        && stored.Row.Ordinal == file.Ordinal && stored.Row.Chunks == from;

    /// <summary>A slot whose chunk lacks a vector of a set that is being built.</summary>
    private int? Missing(SqliteConnection connection, StoredWorkspace workspace)
    {
        var listed = ChunkTable.Slots(connection, workspace.Number);
        foreach (var set in workspace.Row.Building)
        {
            var map = vectors.Map(workspace, set, workspace.Row.Slots);
            try
            {
                foreach (var slot in listed)
                {
                    if (map?.Has(slot) is not true) return slot;
                }
            }
            finally
            {
                map?.Release();
            }
        }

        return null;
    }

    /// <summary>Writes vectors into slots that the committed database does not list, or not yet with a vector of this set.</summary>
    private void Write(string workspace, VectorSet set, IEnumerable<(int Slot, float[] Vector)> rows)
    {
        using var file = vectors.Open(workspace, set);
        foreach (var (slot, vector) in rows) file.Write(slot, vector);
        file.Flush();
    }
}
