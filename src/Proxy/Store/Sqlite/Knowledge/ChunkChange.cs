using Proxy.Knowledge;
using Proxy.Knowledge.Analysis;
using Proxy.Knowledge.Index;

namespace Proxy.Store.Sqlite.Knowledge;

/// <summary>
/// The chunks that a transaction removes from a workspace and adds to it, with all that follows from them: texts, postings, slots, vectors and counts. Take
/// slots first, then remove, then add, then <see cref="Save"/> once.
/// </summary>
internal sealed class ChunkChange(SqliteConnection connection, StoredWorkspace workspace, ITextAnalyzer analyzer)
{
    private readonly PostingChanges postings = new();
    private readonly Dictionary<int, ulong> slots = [];
    private readonly List<int> freed = [];
    private StoredWorkspace now = workspace;

    /// <summary>Removes a file's chunks.</summary>
    public void Remove(StoredFile file)
    {
        var gone = ChunkTable.Take(connection, file.Id);
        if (gone.Count == 0) return;
        var isKnown = now.Analyzer == analyzer.Version;
        foreach (var (slot, name, heading, text) in gone)
        {
            if (isKnown) postings.Remove(slot, analyzer.TermsOf(ChunkTitle.Of(name, heading), text));
            slots[slot] = 0;
            freed.Add(slot);
        }

        if (!isKnown) PostingTable.Strike(connection, now.Number, [.. gone.Select(static chunk => chunk.Slot)]);
        var bytes = gone.Sum(static chunk => (long)ChunkTable.TextBytes(chunk.Text));
        AttachedTable.Grow(connection, file.Id, -gone.Count, -bytes);
        now = now with { Row = now.Row with { Chunks = now.Row.Chunks - gone.Count, Version = now.Row.Version + 1 }, TextBytes = now.TextBytes - bytes };
    }

    /// <summary>
    /// Slots for new chunks, rising. Take them before anything is removed: until the transaction ends, the vectors of slots that it frees are those of stored
    /// chunks.
    /// </summary>
    public List<int> TakeSlots(int count)
    {
        // While another model's vectors are computed for what stands in a slot, or a backup copies them, it stays that chunk's slot.
        var mayReuse = now.Row.Building.Count == 0 && !Holds.Any(connection);
        var taken = mayReuse ? SlotBlocks.TakeFree(connection, now.Number, count) : [];
        var fresh = count - taken.Count;
        taken.AddRange(Enumerable.Range(now.Row.Slots, fresh));
        now = now with { Row = now.Row with { Slots = now.Row.Slots + fresh } };
        return taken;
    }

    /// <summary>Adds chunks to a file, into slots that were taken.</summary>
    public void Add(StoredFile file, string name, int from, IReadOnlyList<NewChunk> chunks, IReadOnlyList<int> into)
    {
        var bytes = 0L;
        for (var i = 0; i < chunks.Count; i++)
        {
            var (chunk, slot) = (chunks[i], into[i]);
            ChunkTable.Add(connection, ChunkTable.IdOf(now.Number, slot), file.Id, from + i, name, chunk);
            postings.Add(slot, chunk.Terms);
            slots[slot] = SlotTable.Pack(file.Row.Ordinal, chunk.Terms.BodyLength, chunk.Terms.TitleLength);
            bytes += ChunkTable.TextBytes(chunk.Text);
        }

        AttachedTable.Grow(connection, file.Id, chunks.Count, bytes);
        var version = now.Analyzer == 0 || now.Row.Chunks == 0 ? analyzer.Version : now.Analyzer == analyzer.Version ? now.Analyzer : -1;
        now = now with { Row = now.Row with { Chunks = now.Row.Chunks + chunks.Count }, TextBytes = now.TextBytes + bytes, Analyzer = version };
    }

    /// <summary>Searches find something else from now on.</summary>
    public void Touch() => now = now with { Row = now.Row with { Version = now.Row.Version + 1 } };

    /// <summary>Gives a new ordinal.</summary>
    public int NextOrdinal()
    {
        now = now with { NextOrdinal = now.NextOrdinal + 1 };
        return now.NextOrdinal - 1;
    }

    public StoredWorkspace Save()
    {
        PostingTable.Change(connection, now.Number, postings);
        if (slots.Count > 0)
        {
            now = now with { Changes = now.Changes + 1 };
            SlotBlocks.Change(connection, now.Number, slots, now.Changes);
        }

        SlotBlocks.Free(connection, now.Number, freed);
        WorkspaceTable.Save(connection, now);
        return now;
    }
}
