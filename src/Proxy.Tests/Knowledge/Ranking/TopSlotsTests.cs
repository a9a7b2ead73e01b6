using Proxy.Knowledge.Index;
using Proxy.Knowledge.Ranking;

namespace Proxy.Tests.Knowledge.Ranking;

public sealed class TopSlotsTests
{
    [Fact]
    public void The_highest_scores_Are_kept_and_of_equal_ones_the_first_slots()
    {
        var random = new Random(7);
        for (var round = 0; round < 200; round++)
        {
            var scores = Enumerable.Range(0, random.Next(60)).Select(_ => (float)random.Next(8)).ToArray();
            var mask = new SlotMask(scores.Length);
            for (var slot = 0; slot < scores.Length; slot++)
            {
                if (random.Next(4) > 0) mask.Add(slot);
            }

            var most = random.Next(12);
            var top = new TopSlots(most);
            var all = new TopSlots(scores.Length);
            top.AddPositive(scores, mask, 100);
            foreach (var slot in Enumerable.Range(0, scores.Length).OrderBy(_ => random.Next())) all.Add(slot, scores[slot]);

            var sorted = scores.Select(static (score, slot) => new ScoredSlot(slot, score))
                .OrderByDescending(static s => s.Score).ThenBy(static s => s.Slot).ToList();
            Assert.Equal(sorted, all.Sorted());
            Assert.Equal(sorted.Where(s => mask[s.Slot] && s.Score > 0).Take(most).Select(static s => s with { Slot = s.Slot + 100 }), top.Sorted());
        }
    }

    [Fact]
    public void Scores_that_are_missing_Count_as_zeros_in_the_scale()
    {
        ScoredSlot[] top = [new(3, 4), new(1, 2)];

        var zeros = new ScoreList(top, 4);
        var whole = new ScoreList(top, 2);

        // Mean 1.5 and deviation 1.6583 of 4, 2, 0, 0; mean 3 and deviation 1 of 4, 2.
        Assert.Equal((2.5 / 1.6583, -1.5 / 1.6583), (zeros.Z(4), zeros.LeastZ), new Near());
        Assert.Equal((1.0, -1.0), (whole.Z(4), whole.LeastZ), new Near());
        Assert.Equal(whole.LeastZ, whole.Z(0.5));
        Assert.Equal(0, new ScoreList([], 0).LeastZ);
    }

    private sealed class Near : IEqualityComparer<(double, double)>
    {
        public bool Equals((double, double) x, (double, double) y) => Math.Abs(x.Item1 - y.Item1) < 1e-3 && Math.Abs(x.Item2 - y.Item2) < 1e-3;

        public int GetHashCode((double, double) pair) => 0;
    }
}
