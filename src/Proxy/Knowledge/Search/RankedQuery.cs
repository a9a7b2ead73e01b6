using Proxy.Knowledge.Index;
using Proxy.Knowledge.Ranking;

namespace Proxy.Knowledge.Search;

/// <summary>A query with its ranking, and what its scores mean.</summary>
internal sealed class RankedQuery
{
    private readonly Dictionary<int, double> named = [];

    public RankedQuery(Ranker ranker, QueryWords words, IReadOnlyList<QueryVector> vectors, Ranking.Ranking ranking)
    {
        (Ranker, Vectors, Ranking) = (ranker, vectors, ranking);
        if (words.Scores.Top is not [var best, ..]) return;
        var shares = words.Scores.Top.ToDictionary(static scored => scored.Slot, scored => (double)scored.Score / best.Score);
        foreach (var term in words.Terms)
        {
            if (term.Key.Field != TermField.Body || term.Frequency > Ranker.FewChunks || !IsIdentifier(term.Key.Term)) continue;
            foreach (var number in ranker.ChunksWith(term)) named[number] = shares.GetValueOrDefault(number);
        }
    }

    public Ranker Ranker { get; }
    public IReadOnlyList<QueryVector> Vectors { get; }
    public Ranking.Ranking Ranking { get; }

    /// <summary>
    /// The score of a hit: the cosine, from 0 to 1. A vector knows little of an identifier; so a chunk that a rare identifier of the query names has at least
    /// its share of the best chunk's score by words.
    /// </summary>
    public double ScoreOf(int number, double cosine) => Math.Clamp(Math.Max(cosine, named.GetValueOrDefault(number)), 0, 1);

    /// <summary>Where words alone ranked: the share of the best hit's score.</summary>
    public double ShareOf(double fused)
    {
        var least = Ranking.Last.Lexical.LeastZ;
        var best = Ranking.Fused.Count > 0 ? Ranking.Fused[0].Score - least : 0;
        return best <= 0 ? 0 : Math.Clamp((fused - least) / best, 0, 1);
    }

    /// <summary>A term that is no word: it has a connector, letters and digits, or at least five digits.</summary>
    private static bool IsIdentifier(string term)
    {
        var digits = term.Count(char.IsAsciiDigit);
        return digits == term.Length ? digits >= 5 : digits > 0 || !term.All(static c => char.IsLetter(c) || !char.IsAscii(c));
    }
}
