using Proxy.Knowledge.Index;
using Proxy.Knowledge.Ranking;

namespace Proxy.Knowledge.Search;

/// <summary>Makes the trace of a search. A chunk's ranks are those by the query that ranked it best.</summary>
internal static class Tracing
{
    public static SearchTrace Trace(StageClock clock, List<RankedQuery> ranked, List<Candidate> candidates)
    {
        var tables = ranked.ConvertAll(static query => new Ranks(query.Ranking));
        return new(clock.Stages, [.. candidates.Select((candidate, at) => Traced(tables[candidate.Query], candidate, at))]) { Notes = clock.Notes };
    }

    private static TracedCandidate Traced(Ranks ranks, Candidate candidate, int at)
    {
        var number = candidate.Number;
        var (lexical, dense, first) = (ranks.Lexical.GetValueOrDefault(number), ranks.Dense.GetValueOrDefault(number), ranks.First.GetValueOrDefault(number));
        return new(candidate.Chunk.File.FileId, candidate.Chunk.File.Name, candidate.Chunk.Chunk.Number)
        {
            LexicalRank = lexical.Rank > 0 ? lexical.Rank : null,
            Lexical = lexical.Rank > 0 ? lexical.Score : null,
            DenseRank = dense.Rank > 0 ? dense.Rank : null,
            Cosine = candidate.Cosine,
            FirstPassRank = first.Rank > 0 ? first.Rank : null,
            FirstPass = first.Rank > 0 ? first.Score : null,
            FusedRank = candidate.FusedRank,
            Fused = candidate.Fused,
            RerankRank = candidate.Rerank is null ? null : at + 1,
            Rerank = candidate.Rerank,
        };
    }

    /// <summary>The ranks and scores of a query's first pass, by chunk.</summary>
    private sealed class Ranks(Ranking.Ranking ranking)
    {
        public Dictionary<int, (int Rank, double Score)> Lexical { get; } = Of(ranking.First.Lexical.Top.Select(static s => (s.Slot, (double)s.Score)));

        /// <summary>By the first model.</summary>
        public Dictionary<int, (int Rank, double Score)> Dense { get; } =
            Of(ranking.First.Dense.Take(1).SelectMany(static list => list.Top).Select(static s => (s.Slot, (double)s.Score)));
        public Dictionary<int, (int Rank, double Score)> First { get; } = Of(ranking.FirstFused.Select(static s => (s.Slot, s.Score)));

        private static Dictionary<int, (int Rank, double Score)> Of(IEnumerable<(int Slot, double Score)> list) =>
            list.Select(static (scored, at) => (scored.Slot, Value: (at + 1, scored.Score))).ToDictionary(static row => row.Slot, static row => row.Value);
    }
}
