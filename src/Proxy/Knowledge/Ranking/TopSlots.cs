using Proxy.Knowledge.Index;

namespace Proxy.Knowledge.Ranking;

/// <summary>Keeps the highest scores of many; of equal ones, those of the lower numbers. A heap whose root is the worst that is kept.</summary>
internal sealed class TopSlots(int most)
{
    private readonly ScoredSlot[] heap = new ScoredSlot[most];
    private int count;

    public void Add(int slot, float score)
    {
        var scored = new ScoredSlot(slot, score);
        if (count < most)
        {
            var at = count++;
            for (; at > 0 && IsWorse(scored, heap[(at - 1) / 2]); at = (at - 1) / 2) heap[at] = heap[(at - 1) / 2];
            heap[at] = scored;
        }
        else if (most > 0 && IsWorse(heap[0], scored))
        {
            Sink(scored);
        }
    }

    /// <summary>Adds all scores above 0 of the slots that may be found.</summary>
    /// <param name="scores">By slot.</param>
    /// <param name="mask">Which slots; null: all.</param>
    /// <param name="offset">What is added to a slot.</param>
    public void AddPositive(ReadOnlySpan<float> scores, SlotMask? mask, int offset)
    {
        // Below this a score has no chance; so most slots cost one comparison.
        var least = Least;
        for (var slot = 0; slot < scores.Length; slot++)
        {
            if (scores[slot] <= least || mask?[slot] is false) continue;
            Add(offset + slot, scores[slot]);
            least = Least;
        }
    }

    /// <summary>What was kept, best first.</summary>
    public ScoredSlot[] Sorted()
    {
        var sorted = heap[..count];
        Array.Sort(sorted, static (a, b) => IsWorse(a, b) ? 1 : IsWorse(b, a) ? -1 : 0);
        return sorted;
    }

    private float Least => count < most || most == 0 ? 0 : heap[0].Score;

    private static bool IsWorse(ScoredSlot left, ScoredSlot right) => left.Score < right.Score || (left.Score == right.Score && left.Slot > right.Slot);

    /// <summary>Replaces the root.</summary>
    private void Sink(ScoredSlot scored)
    {
        var at = 0;
        while (true)
        {
            var child = (2 * at) + 1;
            if (child >= count) break;
            if (child + 1 < count && IsWorse(heap[child + 1], heap[child])) child++;
            if (!IsWorse(heap[child], scored)) break;
            heap[at] = heap[child];
            at = child;
        }

        heap[at] = scored;
    }
}
