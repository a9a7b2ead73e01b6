namespace Proxy.Knowledge.Ranking;

/// <summary>A chunk and its fused score.</summary>
internal readonly record struct FusedSlot(int Slot, double Score);

/// <summary>The lists of one pass: words, and the vectors of each model.</summary>
internal sealed record PassScores(ScoreList Lexical, IReadOnlyList<ScoreList> Dense);

/// <summary>Joins the scores of several scorers: the weighted sum of their z.</summary>
/// <param name="slots">The collection.</param>
/// <param name="lexicalWeight">The share of words; all of it where no vectors are used.</param>
/// <param name="shares">For each index, the share of each model's vectors; 0 where the workspace has none of that model.</param>
internal sealed class Fusion(SearchedSlots slots, double lexicalWeight, double[][] shares)
{
    /// <summary>The chunks that any scorer has among its best, best first; equal ones by number.</summary>
    public List<FusedSlot> Fuse(PassScores pass)
    {
        var least = new double[slots.Indexes.Count];
        for (var index = 0; index < least.Length; index++)
        {
            least[index] = lexicalWeight * pass.Lexical.LeastZ;
            for (var model = 0; model < pass.Dense.Count; model++) least[index] += shares[index][model] * pass.Dense[model].LeastZ;
        }

        var sums = new Dictionary<int, double>(2 * ScoreList.Depth);
        foreach (var scored in pass.Lexical.Top)
            sums[scored.Slot] = least[slots.Locate(scored.Slot).Index] + (lexicalWeight * (pass.Lexical.Z(scored.Score) - pass.Lexical.LeastZ));
        for (var model = 0; model < pass.Dense.Count; model++)
        {
            var list = pass.Dense[model];
            foreach (var scored in list.Top)
            {
                var index = slots.Locate(scored.Slot).Index;
                var above = shares[index][model] * (list.Z(scored.Score) - list.LeastZ);
                sums[scored.Slot] = sums.GetValueOrDefault(scored.Slot, least[index]) + above;
            }
        }

        var fused = new List<FusedSlot>(sums.Count);
        foreach (var (slot, score) in sums) fused.Add(new(slot, score));
        fused.Sort(static (a, b) => a.Score != b.Score ? b.Score.CompareTo(a.Score) : a.Slot.CompareTo(b.Slot));
        return fused;
    }

    /// <summary>The best chunks with weights that fall with the distance to the best one and sum up to 1: the softmax at temperature 0.5.</summary>
    public static List<(int Slot, double Weight)> Best(List<FusedSlot> fused, int most)
    {
        const double Temperature = 0.5;
        var best = new List<(int Slot, double Weight)>(most);
        var sum = 0.0;
        for (var i = 0; i < Math.Min(most, fused.Count); i++)
        {
            var weight = Math.Exp((fused[i].Score - fused[0].Score) / Temperature);
            sum += weight;
            best.Add((fused[i].Slot, weight));
        }

        for (var i = 0; i < best.Count; i++) best[i] = (best[i].Slot, best[i].Weight / sum);
        return best;
    }
}
