using Proxy.Knowledge.Index;

namespace Proxy.Knowledge.Ranking;

/// <summary>
/// The best scores of one scorer, and the scale that makes them comparable with another's: z = (max(s, least) − mean) / deviation over the best
/// <see cref="Depth"/>. Scores below the least one count as the least.
/// </summary>
internal sealed class ScoreList
{
    public const int Depth = 200;

    private readonly double mean;
    private readonly double deviation;
    private readonly double least;

    /// <param name="top">The best ones, best first, at most <see cref="Depth"/>.</param>
    /// <param name="count">How many count for the scale; those that <paramref name="top"/> lacks have the score 0.</param>
    public ScoreList(ScoredSlot[] top, int count)
    {
        Top = top;
        count = Math.Max(count, top.Length);
        if (count == 0) return;
        foreach (var scored in top) mean += scored.Score;
        mean /= count;
        var squares = mean * mean * (count - top.Length);
        foreach (var scored in top) squares += (scored.Score - mean) * (scored.Score - mean);
        deviation = Math.Sqrt(squares / count);
        least = count > top.Length ? 0 : top[^1].Score;
    }

    public ScoredSlot[] Top { get; }

    /// <summary>The z of every chunk that is not in <see cref="Top"/>.</summary>
    public double LeastZ => Z(least);

    public double Z(double score) => (Math.Max(score, least) - mean) / (deviation + 1e-9);
}
