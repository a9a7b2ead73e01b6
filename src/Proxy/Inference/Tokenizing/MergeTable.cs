using System.Numerics;

namespace Proxy.Inference.Tokenizing;

/// <summary>The merges: for two neighbouring tokens the merged token and its rank. Not changed after construction.</summary>
internal sealed class MergeTable
{
    /// <summary>The rank of a pair that does not merge, higher than every other.</summary>
    public const int Never = int.MaxValue;

    private readonly (ulong Pair, int Rank, int Joined)[] slots;
    private readonly int shift;

    /// <param name="merges">In order of rank; if a pair occurs twice, the later one counts.</param>
    public MergeTable(IReadOnlyList<(int Left, int Right, int Joined)> merges)
    {
        slots = new (ulong, int, int)[BitOperations.RoundUpToPowerOf2((uint)Math.Max(16, merges.Count * 2))];
        shift = 64 - BitOperations.Log2((uint)slots.Length);
        for (var rank = 0; rank < merges.Count; rank++)
        {
            var (left, right, joined) = merges[rank];
            var pair = Pair(left, right);
            var slot = (int)(pair * 0x9E3779B97F4A7C15 >> shift);
            while (slots[slot].Pair != 0 && slots[slot].Pair != pair) slot = (slot + 1) & (slots.Length - 1);
            slots[slot] = (pair, rank, joined);
        }
    }

    public int Rank(int left, int right, out int joined)
    {
        var pair = Pair(left, right);
        var table = slots;
        for (var slot = (int)(pair * 0x9E3779B97F4A7C15 >> shift); ; slot = (slot + 1) & (table.Length - 1))
        {
            ref readonly var found = ref table[slot];
            if (found.Pair == pair)
            {
                joined = found.Joined;
                return found.Rank;
            }

            if (found.Pair != 0) continue;
            joined = -1;
            return Never;
        }
    }

    /// <summary>Never 0.</summary>
    private static ulong Pair(int left, int right) => ((ulong)(uint)(left + 1) << 32) | (uint)right;
}
