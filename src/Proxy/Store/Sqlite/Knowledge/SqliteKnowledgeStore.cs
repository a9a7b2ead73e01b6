using Proxy.Knowledge;
using Proxy.Knowledge.Analysis;
using Proxy.Knowledge.Index;

namespace Proxy.Store.Sqlite.Knowledge;

/// <summary>
/// Documents in a SQLite file, <c>knowledge.db</c>, and their vectors in files beside it (<see cref="VectorLayout"/>). Vectors are written inside the write
/// transaction and are on the disk before it is committed: a slot that the database lists always has its vector, also after a crash. All of it runs on the
/// thread pool. What has expired is not returned, and deleted by one of the next writes or claims.
/// </summary>
/// <param name="folder">The folder. It is made at the first write; only its user may read it.</param>
/// <param name="analyzer">Gives the terms of a stored chunk again, when it is deleted.</param>
/// <param name="time">Says what has expired.</param>
internal sealed partial class SqliteKnowledgeStore(string folder, ITextAnalyzer analyzer, TimeProvider time) : IKnowledgeStore
{
    /// <summary>The least time between two deletions of what has expired.</summary>
    private static readonly TimeSpan PruneStep = TimeSpan.FromMinutes(1);

    /// <summary>An upload whose sender has not sent anything for this time was abandoned.</summary>
    private static readonly TimeSpan LongestPause = TimeSpan.FromHours(1);

    private readonly KnowledgeDatabase database = new(folder);
    private readonly VectorFiles vectors = new(folder);
    private readonly SlotCache slots = new();
    private long pruned = long.MinValue;

    private long Now => time.GetUtcNow().ToUnixTimeMilliseconds();

    public ValueTask<IReadOnlyList<Workspace>> WorkspacesAsync(CancellationToken cancellation) => database.ReadAsync<IReadOnlyList<Workspace>>(
        [], connection => [.. WorkspaceTable.All(connection, Now).Select(static stored => stored.Row)], cancellation);

    public ValueTask<Workspace?> WorkspaceAsync(string id, CancellationToken cancellation) =>
        database.ReadAsync(null, connection => WorkspaceTable.Find(connection, id, Now)?.Row, cancellation);

    public async ValueTask SaveAsync(Workspace workspace, CancellationToken cancellation)
    {
        await database.WriteAsync(
            connection =>
            {
                if (Find(connection, workspace.Id) is null)
                {
                    if (workspace.Version > 0) return false; // it was stored, and deleted since the caller read it
                    WorkspaceTable.Add(connection, workspace);
                }

                var saved = SaveSets(connection, Find(connection, workspace.Id)!, workspace);
                WorkspaceTable.Save(connection, saved with
                {
                    Row = saved.Row with
                    {
                        Owner = workspace.Owner, Name = workspace.Name, Description = workspace.Description, Metadata = workspace.Metadata,
                        LastActiveAt = workspace.LastActiveAt, ExpiresAfterDays = workspace.ExpiresAfterDays,
                    },
                });
                return true;
            }, cancellation).ConfigureAwait(false);
        await PruneAsync(cancellation).ConfigureAwait(false);
        await CleanAsync().ConfigureAwait(false);
    }

    public async ValueTask<bool> DeleteWorkspaceAsync(string id, CancellationToken cancellation)
    {
        if (!database.Exists) return false;
        var deleted = await database.DeleteAsync(connection => Delete(connection, id), cancellation).ConfigureAwait(false);
        if (deleted) await CleanAsync().ConfigureAwait(false);
        return deleted;
    }

    public ValueTask<IReadOnlyList<string>> CheckAsync(CancellationToken cancellation) =>
        new(Task.Run<IReadOnlyList<string>>(() => SqliteDatabase.Check(database.File) is { } problem ? [problem] : [], cancellation));

    public async ValueTask DisposeAsync()
    {
        await database.DisposeAsync().ConfigureAwait(false);
        vectors.Dispose();
    }

    /// <summary>Also one that has expired.</summary>
    private static StoredWorkspace? Find(SqliteConnection connection, string id) => WorkspaceTable.Find(connection, id, long.MinValue);

    /// <summary>
    /// The vector sets that a caller saves. It may have read the workspace long ago: sets that have vectors are only replaced by a switch, and a set that was
    /// deleted does not come back.
    /// </summary>
    private StoredWorkspace SaveSets(SqliteConnection connection, StoredWorkspace stored, Workspace wanted)
    {
        var old = stored.Row;
        bool IsNew(VectorSet set) => WorkspaceTable.NumberOf(set) is var number && (number == 0 || number > stored.LastSet);
        var keeps = old.Vectors.Count > 0 && old.Chunks > 0;
        IReadOnlyList<VectorSet> used = keeps ? old.Vectors : [.. wanted.Vectors.Where(set => IsNew(set) || old.Vectors.Contains(set))];
        IReadOnlyList<VectorSet> building =
            [.. wanted.Building.Where(set => (IsNew(set) || old.Building.Contains(set)) && !used.Any(other => other.Id == set.Id))];
        if (used.SequenceEqual(old.Vectors) && building.SequenceEqual(old.Building)) return stored;

        WorkspaceTable.SaveSets(connection, stored, used, building);
        foreach (var set in used.Concat(building).Where(set => !WorkspaceTable.Sets(old).Contains(set)))
        {
            var name = VectorFiles.NameOf(old.Id, set.Id);
            vectors.Delete(name); // that of an earlier workspace of this id
            connection.Prepare("delete from dead_sets where name = ?").Bind(name).Run();
        }

        return stored with
        {
            Row = old with { Version = old.Version + 1 },
            LastSet = Math.Max(stored.LastSet, used.Concat(building).Select(WorkspaceTable.NumberOf).DefaultIfEmpty().Max()),
        };
    }

    private static bool Delete(SqliteConnection connection, string workspace)
    {
        if (Find(connection, workspace) is not { } stored) return false;
        WorkspaceTable.Delete(connection, stored);
        return true;
    }
}
