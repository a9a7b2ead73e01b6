using System.Numerics;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Proxy.Knowledge.Index;

namespace Proxy.Store.Sqlite.Knowledge;

/// <summary>
/// Finds the nearest vectors by reading all of them. The query has 16 bits a dimension and a row 8, so that only the rows' rounding counts; the
/// best are scored again with 16 bits of both. The products of 8 dimensions are added at once, and blocks are shared out among threads.
/// </summary>
internal static unsafe class VectorScan
{
    private const int BlockSlots = VectorLayout.BlockSlots;
    private const int BlocksAtOnce = 8;

    /// <summary>Slots that are kept beyond those asked for, because the scores of the scan are rounded; and how many are scored again.</summary>
    private const int Spare = 64;
    private const int Rescored = 128;

    /// <summary>Below this, another thread costs more than it saves.</summary>
    private const int SlotsAThread = 16 * BlockSlots;

    /// <param name="map">The vectors.</param>
    /// <param name="query">A vector of length 1.</param>
    /// <param name="count">How many to find.</param>
    /// <param name="slots">How many slots there are.</param>
    /// <param name="live">A bit a slot: those that may be found.</param>
    /// <param name="mask">Another such list, of which both must allow a slot; empty: none.</param>
    /// <param name="threads">At most.</param>
    /// <param name="cancellation">Ends the scan.</param>
    public static ScoredSlot[] Nearest(
        VectorMap map, ReadOnlyMemory<float> query, int count, int slots, ulong[] live, ReadOnlyMemory<ulong> mask, int threads, CancellationToken cancellation)
    {
        slots = Math.Min(slots, map.Slots);
        if (slots == 0 || count <= 0) return [];
        var wide = Widen(query.Span, map.Layout.Stride, out var unit);
        var used = Math.Clamp(slots / SlotsAThread, 1, threads);
        var blocks = (slots + BlockSlots - 1) / BlockSlots;
        // The rows' lower digits move a score by about 0.0005: they can only change the order of neighbours.
        var best = new TopSlots[used];
        var next = 0;
        void Work(int worker)
        {
            var top = best[worker] = new(count + Spare);
            var dots = stackalloc int[BlockSlots];
            var bits = stackalloc ulong[BlockSlots / 64];
            fixed (short* q = wide)
            {
                for (var from = Interlocked.Add(ref next, BlocksAtOnce) - BlocksAtOnce; from < blocks;
                    from = Interlocked.Add(ref next, BlocksAtOnce) - BlocksAtOnce)
                {
                    cancellation.ThrowIfCancellationRequested();
                    for (var block = from; block < Math.Min(blocks, from + BlocksAtOnce); block++)
                    {
                        var allowed = Allowed(live, mask.Span, block, slots, bits);
                        if (allowed > 0) Block(map, block, q, unit, bits, allowed, dots, top);
                    }
                }
            }
        }

        Run(Work, used);
        var found = best.SelectMany(static top => top.All).ToArray();
        Array.Sort(found, BestFirst);
        var again = Math.Min(found.Length, Rescored);
        for (var i = 0; i < again; i++) found[i] = new(found[i].Slot, map.Cosine(found[i].Slot, query.Span));
        Array.Sort(found, BestFirst);
        return found.Length <= count ? found : found[..count];
    }

    private static int BestFirst(ScoredSlot a, ScoredSlot b) => a.Score != b.Score ? b.Score.CompareTo(a.Score) : a.Slot.CompareTo(b.Slot);

    /// <summary>The products of a query with rows that follow each other.</summary>
    internal static void Dots(short* query, sbyte* rows, int count, int stride, int* into)
    {
        for (var i = 0; i < count; i++, rows += stride) into[i] = Dot(query, rows, stride);
    }

    private static void Run(Action<int> work, int workers)
    {
        var others = new Task[workers - 1];
        for (var i = 1; i < workers; i++)
        {
            var worker = i;
            others[i - 1] = Task.Run(() => work(worker));
        }

        try
        {
            work(0);
        }
        finally
        {
            Task.WaitAll(others); // they use what this method has pinned and mapped
        }
    }

    private static void Block(VectorMap map, int block, short* query, float unit, ulong* bits, int allowed, int* dots, TopSlots top)
    {
        var scales = map.Scales(block);
        var rows = map.Rows(block);
        var (stride, first) = (map.Layout.Stride, block * BlockSlots);
        var isDense = allowed > BlockSlots / 4;
        if (isDense) Dots(query, rows, BlockSlots, stride, dots);
        var least = top.Least;
        for (var word = 0; word < BlockSlots / 64; word++)
        {
            for (var left = bits[word]; left != 0; left &= left - 1)
            {
                var i = (word * 64) + BitOperations.TrailingZeroCount(left);
                var scale = scales[i];
                if (scale == 0) continue; // no vector
                var score = (isDense ? dots[i] : Dot(query, rows + ((long)i * stride), stride)) * (scale * unit);
                if (score <= least) continue;
                top.Add(new(first + i, score));
                least = top.Least;
            }
        }
    }

    /// <summary>The bits of a block's slots that may be found. Returns their number.</summary>
    private static int Allowed(ulong[] live, ReadOnlySpan<ulong> mask, int block, int slots, ulong* bits)
    {
        var count = 0;
        for (var i = 0; i < BlockSlots / 64; i++)
        {
            var word = (block * (BlockSlots / 64)) + i;
            var allowed = word * 64 < slots && word < live.Length ? live[word] : 0;
            if (!mask.IsEmpty) allowed &= word < mask.Length ? mask[word] : 0;
            bits[i] = allowed;
            count += BitOperations.PopCount(allowed);
        }

        return count;
    }

    /// <summary>The query as integers, and what one of them is worth. Their products with a row of any values do not overflow 32 bits.</summary>
    private static short[] Widen(ReadOnlySpan<float> query, int stride, out float unit)
    {
        var most = 0f;
        foreach (var number in query) most = Math.Max(most, Math.Abs(number));
        var highest = Math.Min(short.MaxValue, int.MaxValue / (127 * stride));
        var wide = new short[stride];
        unit = most == 0 ? 0 : most / highest;
        for (var i = 0; i < query.Length && most != 0; i++) wide[i] = (short)MathF.Round(query[i] / unit);
        return wide;
    }

    private static int Dot(short* query, sbyte* row, int stride)
    {
        Vector128<int> a = default, b = default;
        for (var i = 0; i < stride; i += 16)
        {
            var (low, high) = Vector128.Widen(Vector128.Load(row + i));
            var (x, y) = (Vector128.Load(query + i), Vector128.Load(query + i + 8));
            if (Sse2.IsSupported)
            {
                a += Sse2.MultiplyAddAdjacent(low, x);
                b += Sse2.MultiplyAddAdjacent(high, y);
            }
            else
            {
                var ((l1, l2), (x1, x2)) = (Vector128.Widen(low), Vector128.Widen(x));
                var ((h1, h2), (y1, y2)) = (Vector128.Widen(high), Vector128.Widen(y));
                a += (l1 * x1) + (l2 * x2);
                b += (h1 * y1) + (h2 * y2);
            }
        }

        return Vector128.Sum(a + b);
    }
}

/// <summary>The best slots so far: a heap whose root is the worst of them. Of equal scores the lower slot is better.</summary>
internal sealed class TopSlots(int most)
{
    private readonly ScoredSlot[] heap = new ScoredSlot[most];
    private int count;

    public IEnumerable<ScoredSlot> All => heap.Take(count);

    /// <summary>A score must be higher than this to be kept.</summary>
    public float Least => count < heap.Length ? float.NegativeInfinity : heap[0].Score;

    public void Add(ScoredSlot slot)
    {
        if (count < heap.Length)
        {
            Up(slot);
            return;
        }

        if (!IsWorse(heap[0], slot)) return;
        var at = 0;
        for (var child = 1; child < count; child = (at * 2) + 1)
        {
            if (child + 1 < count && IsWorse(heap[child + 1], heap[child])) child++;
            if (!IsWorse(heap[child], slot)) break;
            heap[at] = heap[child];
            at = child;
        }

        heap[at] = slot;
    }

    private void Up(ScoredSlot slot)
    {
        var at = count++;
        for (var parent = (at - 1) / 2; at > 0 && IsWorse(slot, heap[parent]); parent = (at - 1) / 2)
        {
            heap[at] = heap[parent];
            at = parent;
        }

        heap[at] = slot;
    }

    private static bool IsWorse(ScoredSlot a, ScoredSlot b) => a.Score < b.Score || (a.Score == b.Score && a.Slot > b.Slot);
}
