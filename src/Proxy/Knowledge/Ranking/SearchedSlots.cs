using System.Collections.Concurrent;
using System.Numerics;
using System.Runtime.CompilerServices;
using Proxy.Knowledge.Index;

namespace Proxy.Knowledge.Ranking;

/// <summary>
/// The workspaces of a search as one collection. A chunk's number in it is its slot plus the sum of the lengths of the workspaces before it.
/// </summary>
internal sealed class SearchedSlots
{
    private static readonly ConditionalWeakTable<SlotTable, LiveSlots> LiveOf = [];

    /// <summary>About 10 MB.</summary>
    private const int MostFrequencies = 100_000;

    private readonly int[] offsets;
    private readonly SlotMask?[] masks;
    private readonly LiveSlots[] live;

    /// <param name="indexes">At least one.</param>
    /// <param name="masks">For each index the slots that may be found; null: all. A mask holds live slots only.</param>
    public SearchedSlots(IReadOnlyList<IWorkspaceIndex> indexes, SlotMask?[] masks)
    {
        (Indexes, this.masks) = (indexes, masks);
        offsets = new int[indexes.Count];
        live = new LiveSlots[indexes.Count];
        long body = 0, title = 0;
        for (var i = 0; i < indexes.Count; i++)
        {
            var slots = indexes[i].Slots;
            offsets[i] = Length;
            Length = checked(Length + slots.Length);
            Count += slots.Count;
            Candidates += masks[i]?.Count ?? slots.Count;
            body += slots.BodyTerms;
            title += slots.TitleTerms;
            live[i] = LiveOf.GetValue(slots, static table => new(table));
        }

        (BodyMean, TitleMean) = Count == 0 ? (0, 0) : ((double)body / Count, (double)title / Count);
    }

    public IReadOnlyList<IWorkspaceIndex> Indexes { get; }

    /// <summary>One more than the highest number.</summary>
    public int Length { get; }

    /// <summary>The live chunks: the N of BM25. A filter does not change it.</summary>
    public int Count { get; }

    /// <summary>The live chunks that the filter lets through.</summary>
    public int Candidates { get; }

    /// <summary>The mean lengths of the fields over the live chunks.</summary>
    public double BodyMean { get; }
    public double TitleMean { get; }

    public int OffsetOf(int index) => offsets[index];

    /// <summary>The slots that may be found; null: all of them.</summary>
    public SlotMask? MaskOf(int index) => masks[index];

    /// <summary>The slots whose files are complete; null: all that have a chunk.</summary>
    public SlotMask? LiveIn(int index) => live[index].Mask;

    /// <summary>The index and slot of a number.</summary>
    public (int Index, int Slot) Locate(int number)
    {
        var index = Array.BinarySearch(offsets, number);
        if (index < 0) index = ~index - 1;
        while (index + 1 < offsets.Length && offsets[index + 1] == number) index++; // an empty workspace has the offset of the next one
        return (index, number - offsets[index]);
    }

    /// <summary>In how many live chunks a term of the text stands; null if it was not counted yet in every workspace.</summary>
    public int? KnownFrequency(string term)
    {
        var sum = 0;
        foreach (var one in live)
        {
            if (!one.Frequencies.TryGetValue(term, out var frequency)) return null;
            sum += frequency;
        }

        return sum;
    }

    /// <summary>The chunks of a term's posting list that are live.</summary>
    public int CountLive(int index, TermKey key, PostingList list)
    {
        var known = live[index].Frequencies;
        if (key.Field == TermField.Body && known.TryGetValue(key.Term, out var count)) return count;
        count = CountLive(index, list);
        if (key.Field == TermField.Body && known.Count < MostFrequencies) known[key.Term] = count;
        return count;
    }

    private int CountLive(int index, PostingList list)
    {
        var count = 0;
        var mask = LiveIn(index);
        foreach (var (block, data) in list.Blocks)
        {
            if (mask is null)
            {
                count += Numbers(data.Span) / 2;
                continue;
            }

            var reader = new PostingBlock.Reader(data.Span, block);
            while (reader.Next(out var posting))
            {
                if (mask[posting.Slot]) count++;
            }
        }

        return count;
    }

    /// <summary>How many variable-length numbers there are: each ends with a byte below 128.</summary>
    private static int Numbers(ReadOnlySpan<byte> data)
    {
        var (count, at) = (0, 0);
        for (; at + 8 <= data.Length; at += 8)
            count += 8 - BitOperations.PopCount(BitConverter.ToUInt64(data[at..]) & 0x8080808080808080);
        for (; at < data.Length; at++) count += data[at] < 0x80 ? 1 : 0;
        return count;
    }

    /// <summary>Which slots of a table are live, found once a table.</summary>
    private sealed class LiveSlots
    {
        public LiveSlots(SlotTable table)
        {
            var packed = table.Packed;
            if (packed.Length - packed.Count(0UL) == table.Count) return;
            Mask = new(table.Length);
            for (var slot = 0; slot < table.Length; slot++)
            {
                if (table.IsLive(slot)) Mask.Add(slot);
            }
        }

        public SlotMask? Mask { get; }

        /// <summary>In how many live chunks the terms stand that were looked for.</summary>
        public ConcurrentDictionary<string, int> Frequencies { get; } = new(StringComparer.Ordinal);
    }
}
