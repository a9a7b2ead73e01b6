using Proxy.Knowledge.Index;

namespace Proxy.Store.Sqlite.Knowledge;

/// <summary>A workspace's slot table at one of its versions.</summary>
/// <param name="Version">The workspace's version.</param>
/// <param name="Changes">What <see cref="StoredWorkspace.Changes"/> was.</param>
/// <param name="Table">The table.</param>
/// <param name="Live">A bit a slot: those whose file may be found.</param>
internal sealed record CachedSlots(long Version, long Changes, SlotTable Table, ulong[] Live);

/// <summary>Keeps the slot tables of the workspaces that were searched last. After a change only the blocks that changed are read again.</summary>
internal sealed class SlotCache
{
    /// <summary>32 MB, or one workspace.</summary>
    private const long MostSlots = 4_000_000;

    private readonly Lock sync = new();
    private readonly Dictionary<long, (CachedSlots Slots, long Used)> kept = [];
    private long uses;

    /// <param name="connection">Sees the state of which the workspace was read.</param>
    /// <param name="workspace">The workspace.</param>
    public CachedSlots Read(SqliteConnection connection, StoredWorkspace workspace)
    {
        var known = Find(workspace.Number);
        if (known?.Version == workspace.Row.Version) return known;
        var packed = new ulong[workspace.Row.Slots];
        if (known?.Changes > workspace.Changes) known = null; // a transaction that was lost with its power
        known?.Table.Packed.CopyTo(packed);
        SlotBlocks.Read(connection, workspace.Number, known?.Changes ?? -1, packed);
        var table = new SlotTable(packed, AttachedTable.Live(connection, workspace.Number));
        var read = new CachedSlots(workspace.Row.Version, workspace.Changes, table, Bits(table));
        Keep(workspace.Number, read);
        return read;
    }

    private static ulong[] Bits(SlotTable table)
    {
        var bits = new ulong[(table.Length + 63) / 64];
        var (last, isLive) = (0, false);
        for (var slot = 0; slot < table.Length; slot++)
        {
            var file = table.FileOf(slot);
            if (file != last) (last, isLive) = (file, table.Live.Contains(file)); // the chunks of a file mostly follow each other
            if (isLive && file != 0) bits[slot >> 6] |= 1UL << (slot & 63);
        }

        return bits;
    }

    private CachedSlots? Find(long workspace)
    {
        lock (sync)
        {
            if (!kept.TryGetValue(workspace, out var found)) return null;
            kept[workspace] = (found.Slots, ++uses);
            return found.Slots;
        }
    }

    private void Keep(long workspace, CachedSlots slots)
    {
        lock (sync)
        {
            // A search that read an older state meanwhile must not put it back.
            if (kept.TryGetValue(workspace, out var found) && found.Slots.Version > slots.Version) return;
            kept[workspace] = (slots, ++uses);
            while (kept.Count > 1 && kept.Values.Sum(static one => (long)one.Slots.Table.Length) > MostSlots)
                kept.Remove(kept.MinBy(static one => one.Value.Used).Key);
        }
    }
}
