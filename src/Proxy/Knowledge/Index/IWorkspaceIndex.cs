namespace Proxy.Knowledge.Index;

/// <summary>
/// A workspace's chunks as a search sees them. Reads may see a change that was committed during the search, such as a chunk that is gone: then it is left out.
/// </summary>
internal interface IWorkspaceIndex : IDisposable
{
    Workspace Workspace { get; }

    /// <summary>What is known of each slot, in memory.</summary>
    SlotTable Slots { get; }

    /// <summary>The posting lists of the terms, in their order; a term that no chunk has gets an empty one.</summary>
    ValueTask<IReadOnlyList<PostingList>> PostingsAsync(IReadOnlyList<TermKey> terms, CancellationToken cancellation);

    /// <summary>
    /// The slots with the highest cosine to the query, best first, at most <paramref name="count"/>; equal ones by slot. Slots without a file in
    /// <see cref="SlotTable.Live"/> are left out.
    /// </summary>
    /// <param name="set">Which of <see cref="Workspace.Vectors"/>.</param>
    /// <param name="query">A vector of length 1.</param>
    /// <param name="count">How many.</param>
    /// <param name="mask">Only these slots; null: all.</param>
    /// <param name="cancellation">Ends the search.</param>
    ValueTask<IReadOnlyList<ScoredSlot>> NearestAsync(
        int set, ReadOnlyMemory<float> query, int count, SlotMask? mask, CancellationToken cancellation);

    /// <summary>The vectors of slots, in their order, normalised to length 1; zeros for a slot that has none.</summary>
    ValueTask<IReadOnlyList<float[]>> VectorsAsync(int set, IReadOnlyList<int> slots, CancellationToken cancellation);

    /// <summary>The chunks of slots, in no particular order; those that are gone are missing.</summary>
    ValueTask<IReadOnlyList<StoredChunk>> ChunksAsync(IReadOnlyList<int> slots, CancellationToken cancellation);

    /// <summary>The chunks of one file with these numbers, for joining neighbours; those that are gone are missing.</summary>
    ValueTask<IReadOnlyList<StoredChunk>> NeighboursAsync(string fileId, IReadOnlyList<int> numbers, CancellationToken cancellation);
}

/// <summary>A slot and its score; a higher score is better.</summary>
internal readonly record struct ScoredSlot(int Slot, float Score);

/// <summary>Which part of a chunk a term stands in.</summary>
internal enum TermField : byte
{
    /// <summary>The title and the text together.</summary>
    Body = 0,

    /// <summary>The title alone: the file's name and the headings.</summary>
    Title = 1,
}

/// <summary>A term of one field.</summary>
internal readonly record struct TermKey(TermField Field, string Term);

/// <summary>The terms of a chunk with how often each occurs, by field.</summary>
internal sealed record ChunkTerms(IReadOnlyDictionary<string, int> Body, IReadOnlyDictionary<string, int> Title)
{
    /// <summary>The number of words, each as often as it occurs. Terms that stand beside a word, such as whole identifiers, do not count.</summary>
    public int BodyLength { get; init; } = Body.Values.Sum();
    public int TitleLength { get; init; } = Title.Values.Sum();

    public IEnumerable<(TermKey Key, int Count)> All =>
        Body.Select(static term => (new TermKey(TermField.Body, term.Key), term.Value))
            .Concat(Title.Select(static term => (new TermKey(TermField.Title, term.Key), term.Value)));
}
