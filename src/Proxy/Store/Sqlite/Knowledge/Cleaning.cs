using Proxy.Knowledge;

namespace Proxy.Store.Sqlite.Knowledge;

/// <summary>
/// Deletes in small transactions what a committed transaction has left to be deleted: the content of workspaces that are gone, the vectors of deleted chunks,
/// the files of vector sets. A vector is overwritten only after the deletion of its chunk is committed, and under the write lock, so that no one can have
/// given its slot to another chunk. After a crash the next process goes on.
/// </summary>
internal static class Cleaning
{
    private const int ChunksAtOnce = 2000;
    private const int PostingsAtOnce = 5000;
    private const int VectorsAtOnce = 4096;

    public static bool IsDue(SqliteConnection connection) => connection.Integer("""
        select exists (select 1 from dead_sets) or exists (select 1 from dead_workspaces) or exists (select 1 from free_slots where clean = 0)
        """) != 0;

    /// <summary>Does one step. False: there is nothing more to do, or a backup is running.</summary>
    public static bool Step(SqliteConnection connection, VectorFiles vectors) =>
        !Holds.Any(connection) && (DropSets(connection, vectors) | ClearVectors(connection, vectors) | DropWorkspace(connection));

    private static bool DropSets(SqliteConnection connection, VectorFiles vectors)
    {
        var names = new List<string>();
        var rows = connection.Prepare("select name from dead_sets");
        while (rows.Step()) names.Add(rows.Text(0));
        foreach (var name in names)
        {
            vectors.Delete(name);
            connection.Prepare("delete from dead_sets where name = ?").Bind(name).Run();
        }

        return false;
    }

    private static bool ClearVectors(SqliteConnection connection, VectorFiles vectors)
    {
        var slots = SlotBlocks.Unclean(connection, VectorsAtOnce);
        foreach (var group in slots.GroupBy(static slot => slot.Workspace))
        {
            if (WorkspaceTable.ByNumber(connection, group.Key) is { Row: { } row })
            {
                foreach (var set in WorkspaceTable.Sets(row)) Clear(vectors, row.Id, set, group.Select(static slot => slot.Slot));
            }

            foreach (var (workspace, slot) in group) SlotBlocks.MarkClean(connection, workspace, slot);
        }

        return slots.Count == VectorsAtOnce;
    }

    private static void Clear(VectorFiles vectors, string workspace, VectorSet set, IEnumerable<int> slots)
    {
        if (!File.Exists(vectors.PathOf(workspace, set.Id))) return;
        using var file = vectors.Open(workspace, set);
        foreach (var slot in slots) file.Clear(slot);
        file.Flush();
    }

    private static bool DropWorkspace(SqliteConnection connection)
    {
        var row = connection.Prepare("select number from dead_workspaces limit 1");
        var isSome = row.Step();
        var number = isSome ? row.Integer(0) : 0;
        row.Reset();
        if (!isSome) return false;

        var deleted = connection.Prepare("delete from chunks where id in (select id from chunks where id >= ? and id < ? limit ?)")
            .Bind(ChunkTable.IdOf(number, 0)).Bind(ChunkTable.IdOf(number + 1, 0)).Bind(ChunksAtOnce).Run();
        if (deleted == ChunksAtOnce) return true;
        deleted = connection.Prepare("""
            delete from postings where (ws, block, field, term) in (select ws, block, field, term from postings where ws = ? limit ?)
            """).Bind(number).Bind(PostingsAtOnce).Run();
        if (deleted == PostingsAtOnce) return true;
        foreach (var table in (string[])["slot_blocks", "free_slots"]) connection.Prepare($"delete from {table} where ws = ?").Bind(number).Run();
        connection.Prepare("delete from dead_workspaces where number = ?").Bind(number).Run();
        return true;
    }
}
