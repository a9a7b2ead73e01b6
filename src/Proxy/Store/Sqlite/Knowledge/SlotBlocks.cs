using Proxy.Knowledge.Index;

namespace Proxy.Store.Sqlite.Knowledge;

/// <summary>The slot table in blocks, and the slots that may be used again.</summary>
internal static class SlotBlocks
{
    /// <param name="connection">In a transaction.</param>
    /// <param name="workspace">The workspace's number.</param>
    /// <param name="slots">The new values (<see cref="SlotTable.Pack"/>).</param>
    /// <param name="change">The workspace's <see cref="StoredWorkspace.Changes"/> with this change.</param>
    public static void Change(SqliteConnection connection, long workspace, IReadOnlyCollection<KeyValuePair<int, ulong>> slots, long change)
    {
        foreach (var group in slots.GroupBy(static slot => slot.Key / SlotTable.BlockSlots))
        {
            var old = connection.Prepare("select data from slot_blocks where ws = ? and block = ?").Bind(workspace).Bind(group.Key);
            var data = SlotTable.Change(old.Step() ? old.Span(0) : default, group.Key, group);
            old.Reset();
            connection.Prepare("insert or replace into slot_blocks(ws, block, changed, data) values (?, ?, ?, ?)")
                .Bind(workspace).Bind(group.Key).Bind(change).BindBytes(data).Run();
        }
    }

    /// <summary>Reads the blocks that changed after the given change into the slots.</summary>
    public static void Read(SqliteConnection connection, long workspace, long after, ulong[] slots)
    {
        var rows = connection.Prepare("select block, data from slot_blocks where ws = ? and changed > ?").Bind(workspace).Bind(after);
        while (rows.Step()) SlotTable.Read(rows.Span(1), rows.Number(0), slots);
    }

    /// <summary>Takes free slots, the lowest first.</summary>
    public static List<int> TakeFree(SqliteConnection connection, long workspace, int most)
    {
        var found = new List<int>();
        var rows = connection.Prepare("select slot from free_slots where ws = ? order by slot limit ?").Bind(workspace).Bind(most);
        while (rows.Step()) found.Add(rows.Number(0));
        foreach (var slot in found) connection.Prepare("delete from free_slots where ws = ? and slot = ?").Bind(workspace).Bind(slot).Run();
        return found;
    }

    /// <summary>Marks slots as free. Their vectors are still there: until the transaction is committed, they are those of stored chunks.</summary>
    public static void Free(SqliteConnection connection, long workspace, IEnumerable<int> slots)
    {
        foreach (var slot in slots) connection.Prepare("insert into free_slots(ws, slot, clean) values (?, ?, 0)").Bind(workspace).Bind(slot).Run();
    }

    /// <summary>Free slots whose vectors have not been overwritten yet.</summary>
    public static List<(long Workspace, int Slot)> Unclean(SqliteConnection connection, int most)
    {
        var found = new List<(long, int)>();
        var rows = connection.Prepare("select ws, slot from free_slots where clean = 0 order by ws, slot limit ?").Bind(most);
        while (rows.Step()) found.Add((rows.Integer(0), rows.Number(1)));
        return found;
    }

    public static void MarkClean(SqliteConnection connection, long workspace, int slot) =>
        connection.Prepare("update free_slots set clean = 1 where ws = ? and slot = ?").Bind(workspace).Bind(slot).Run();
}
