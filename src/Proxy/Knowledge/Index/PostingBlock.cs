using System.Runtime.CompilerServices;

namespace Proxy.Knowledge.Index;

/// <summary>A slot that has a term, and how often.</summary>
internal readonly record struct Posting(int Slot, int Count);

/// <summary>
/// The encoding of a posting list's block: for each slot in rising order, the distance from the one before (in the first entry: from the block's first slot)
/// and the term's count, both as variable-length numbers of 7 bits a byte, low bits first. A list is cut into blocks of <see cref="BlockSlots"/> slots, so that
/// a change rewrites a small part of it.
/// </summary>
internal static class PostingBlock
{
    public const int BlockSlots = 16384;

    public static int Of(int slot) => slot / BlockSlots;

    /// <summary>The block with postings added and slots removed; empty if nothing is left. A slot that is there already gets the new count.</summary>
    /// <param name="old">The block as it is; empty if there is none.</param>
    /// <param name="block">Its number.</param>
    /// <param name="added">In rising order of their slots.</param>
    /// <param name="removed">Slots to take out; null: none.</param>
    public static byte[] Merge(ReadOnlySpan<byte> old, int block, IReadOnlyList<Posting> added, IReadOnlySet<int>? removed)
    {
        var writer = new Writer(new byte[old.Length + (added.Count * 8)], block);
        var reader = new Reader(old, block);
        var next = 0;
        while (reader.Next(out var posting))
        {
            for (; next < added.Count && added[next].Slot < posting.Slot; next++) writer.Add(added[next]);
            if (removed?.Contains(posting.Slot) is true || (next < added.Count && added[next].Slot == posting.Slot)) continue;
            writer.Add(posting);
        }

        for (; next < added.Count; next++) writer.Add(added[next]);
        return writer.Written;
    }

    /// <summary>Reads a block from its beginning.</summary>
    internal ref struct Reader(ReadOnlySpan<byte> data, int block)
    {
        private readonly ReadOnlySpan<byte> data = data;
        private int at;
        private int slot = block * BlockSlots;

        public bool Next(out Posting posting)
        {
            var isThere = Next(out var at, out var count);
            posting = new(at, count);
            return isThere;
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public bool Next(out int slot, out int count)
        {
            if (at >= data.Length)
            {
                slot = count = 0;
                return false;
            }

            slot = this.slot += Number();
            count = Number();
            return true;
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private int Number()
        {
            int value = data[at++];
            return value < 0x80 ? value : Long(value & 0x7f);
        }

        private int Long(int value)
        {
            for (var shift = 7; ; shift += 7)
            {
                int next = data[at++];
                value |= (next & 0x7f) << shift;
                if (next < 0x80) return value;
            }
        }
    }

    private ref struct Writer(byte[] into, int block)
    {
        private int length;
        private int last = block * BlockSlots;

        public readonly byte[] Written => into[..length];

        public void Add(Posting posting)
        {
            Number(posting.Slot - last);
            Number(posting.Count);
            last = posting.Slot;
        }

        private void Number(int value)
        {
            for (; value >= 0x80; value >>= 7) into[length++] = (byte)(value | 0x80);
            into[length++] = (byte)value;
        }
    }
}

/// <summary>The blocks of a term's posting list, in rising order. Deleted chunks are not in it; those of files that are not complete are.</summary>
internal sealed record PostingList(IReadOnlyList<(int Block, ReadOnlyMemory<byte> Data)> Blocks)
{
    public static PostingList Empty { get; } = new([]);
}

/// <summary>What a transaction changes in the posting lists: for each term and block, the postings to add and the slots to take out.</summary>
internal sealed class PostingChanges
{
    private readonly Dictionary<(TermKey Key, int Block), (List<Posting> Added, HashSet<int>? Removed)> changes = [];

    public IEnumerable<(TermKey Key, int Block, IReadOnlyList<Posting> Added, IReadOnlySet<int>? Removed)> All =>
        changes.Select(static change => (change.Key.Key, change.Key.Block, (IReadOnlyList<Posting>)change.Value.Added,
            (IReadOnlySet<int>?)change.Value.Removed));

    /// <summary>Adds a chunk's terms. Call it in rising order of the slots.</summary>
    public void Add(int slot, ChunkTerms terms)
    {
        foreach (var (key, count) in terms.All) At(key, slot).Added.Add(new(slot, count));
    }

    /// <summary>Removes a chunk's terms. Call it before any slot is added.</summary>
    public void Remove(int slot, ChunkTerms terms)
    {
        foreach (var (key, _) in terms.All)
        {
            var at = (key, PostingBlock.Of(slot));
            var (added, removed) = At(key, slot);
            if (removed is null) changes[at] = (added, removed = []);
            removed.Add(slot);
        }
    }

    private (List<Posting> Added, HashSet<int>? Removed) At(TermKey key, int slot)
    {
        var at = (key, PostingBlock.Of(slot));
        return changes.TryGetValue(at, out var found) ? found : changes[at] = ([], null);
    }
}
