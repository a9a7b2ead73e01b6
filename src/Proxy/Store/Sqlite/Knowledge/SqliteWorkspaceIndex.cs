using Proxy.Knowledge;
using Proxy.Knowledge.Index;

namespace Proxy.Store.Sqlite.Knowledge;

/// <summary>A workspace as a search sees it: the slots of one version, the mapped vectors, and reads of the rest.</summary>
internal sealed class SqliteWorkspaceIndex(KnowledgeDatabase database, StoredWorkspace workspace, CachedSlots slots, IReadOnlyList<VectorMap?> maps)
    : IWorkspaceIndex
{
    private bool disposed;

    public Workspace Workspace => workspace.Row;

    public SlotTable Slots => slots.Table;

    public ValueTask<IReadOnlyList<PostingList>> PostingsAsync(IReadOnlyList<TermKey> terms, CancellationToken cancellation) =>
        database.ReadAsync<IReadOnlyList<PostingList>>(
            [.. terms.Select(static _ => PostingList.Empty)],
            connection => PostingTable.Read(connection, workspace.Number, slots.Table.Length, terms), cancellation);

    public async ValueTask<IReadOnlyList<ScoredSlot>> NearestAsync(
        int set, ReadOnlyMemory<float> query, int count, SlotMask? mask, CancellationToken cancellation)
    {
        if (maps[set] is not { } map || query.Length != map.Layout.Dimensions) return [];
        var bits = mask is null ? default : mask.Bits.ToArray().AsMemory();
        if (mask is { Count: 0 }) return [];
        return await Task.Run(
            () => VectorScan.Nearest(map, query, count, slots.Table.Length, slots.Live, bits, Environment.ProcessorCount, cancellation), cancellation)
            .ConfigureAwait(false);
    }

    public ValueTask<IReadOnlyList<float[]>> VectorsAsync(int set, IReadOnlyList<int> slots, CancellationToken cancellation)
    {
        var empty = new float[workspace.Row.Vectors[set].Dimensions];
        return new([.. slots.Select(slot => maps[set]?.Read(slot) ?? empty)]);
    }

    public ValueTask<IReadOnlyList<StoredChunk>> ChunksAsync(IReadOnlyList<int> wanted, CancellationToken cancellation) =>
        database.ReadAsync<IReadOnlyList<StoredChunk>>(
            [],
            connection =>
            {
                var found = new List<StoredChunk>(wanted.Count);
                foreach (var slot in wanted)
                {
                    // A slot that was given to another file meanwhile is not the chunk that was ranked.
                    if ((uint)slot >= (uint)Slots.Length || ChunkTable.At(connection, workspace.Number, slot, Slots.FileOf(slot)) is not { } chunk) continue;
                    found.Add(chunk);
                }

                return found;
            }, cancellation);

    public ValueTask<IReadOnlyList<StoredChunk>> NeighboursAsync(string fileId, IReadOnlyList<int> numbers, CancellationToken cancellation) =>
        database.ReadAsync<IReadOnlyList<StoredChunk>>(
            [], connection => ChunkTable.Numbered(connection, workspace.Row.Id, fileId, numbers), cancellation);

    public void Dispose()
    {
        if (disposed) return;
        disposed = true;
        foreach (var map in maps) map?.Release();
    }
}
