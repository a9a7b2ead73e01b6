using Proxy.Knowledge;
using Proxy.Knowledge.Index;

namespace Proxy.Store.Postgres.Knowledge;

/// <summary>
/// A workspace as a search sees it. The slots are of the moment when it was opened; everything else is read when it is asked for, by statements that hold no
/// connection in between. What was deleted meanwhile is left out.
/// </summary>
/// <param name="database">Runs the reads.</param>
/// <param name="row">The workspace.</param>
/// <param name="slots">What is known of its slots.</param>
/// <param name="chunks">Reads chunks and postings.</param>
/// <param name="vectors">Reads vectors.</param>
internal sealed class PostgresWorkspaceIndex(
    KnowledgeDatabase database, WorkspaceRow row, SlotTable slots, ChunkRows chunks, PostgresVectors vectors) : IWorkspaceIndex
{
    public Workspace Workspace => row.Workspace;

    public SlotTable Slots => slots;

    public ValueTask<IReadOnlyList<PostingList>> PostingsAsync(IReadOnlyList<TermKey> terms, CancellationToken cancellation) => database.ReadAsync(
        [.. terms.Select(static _ => PostingList.Empty)],
        (connection, cancellation) => chunks.Postings.ReadAsync(connection, row.Number, terms, cancellation), cancellation);

    public async ValueTask<IReadOnlyList<ScoredSlot>> NearestAsync(
        int set, ReadOnlyMemory<float> query, int count, SlotMask? mask, CancellationToken cancellation)
    {
        var filter = SlotFilter.For(slots, row.Workspace.Chunks, mask);
        if (filter.Count == 0 || count <= 0) return [];
        return await database.ReadAsync(
            [],
            (connection, cancellation) => vectors.NearestAsync(
                connection, row.Number, row.Workspace.Vectors[set], query.ToArray(), count, filter, cancellation),
            cancellation).ConfigureAwait(false);
    }

    public async ValueTask<IReadOnlyList<float[]>> VectorsAsync(int set, IReadOnlyList<int> wanted, CancellationToken cancellation)
    {
        var found = await database.ReadAsync(
            [],
            (connection, cancellation) => vectors.ReadAsync(connection, row.Number, row.Workspace.Vectors[set], wanted, cancellation), cancellation)
            .ConfigureAwait(false);
        return [.. wanted.Select(slot => found.GetValueOrDefault(slot) ?? new float[row.Workspace.Vectors[set].Dimensions])];
    }

    public async ValueTask<IReadOnlyList<StoredChunk>> ChunksAsync(IReadOnlyList<int> wanted, CancellationToken cancellation)
    {
        var known = wanted.Where(slot => slot >= 0 && slot < slots.Length).ToArray();
        return await database.ReadAsync(
            [],
            (connection, cancellation) => chunks.OfSlotsAsync(connection, row.Number, known, known.Select(slots.FileOf), cancellation), cancellation)
            .ConfigureAwait(false);
    }

    public async ValueTask<IReadOnlyList<StoredChunk>> NeighboursAsync(string fileId, IReadOnlyList<int> numbers, CancellationToken cancellation) =>
        await database.ReadAsync(
            [],
            (connection, cancellation) => chunks.OfFileAsync(connection, row.Number, fileId, numbers, cancellation), cancellation).ConfigureAwait(false);

    public void Dispose()
    {
    }
}
