using Proxy.Chat;
using Proxy.Knowledge.Analysis;
using Proxy.Knowledge.Index;
using Proxy.Knowledge.Ranking;

namespace Proxy.Knowledge.Search;

/// <summary>One search over opened workspaces.</summary>
internal sealed class SearchRun
{
    /// <summary>A search may take 150 ms. The feedback takes about as long as the first pass, so it is left out if that took longer than half of it.</summary>
    private static readonly TimeSpan FirstPassLimit = TimeSpan.FromMilliseconds(75);

    private readonly SearchedSlots slots;
    private readonly SearchRequest request;
    private readonly KnowledgeModels models;
    private readonly ITextAnalyzer analyzer;
    private readonly StageClock clock;
    private readonly ChunkSource chunks;
    private readonly Reranking reranking;
    private readonly HitJoiner joiner;

    public SearchRun(
        SearchedSlots slots, SearchRequest request, IKnowledgeStore store, KnowledgeModels models, ITextAnalyzer analyzer, StageClock clock)
    {
        (this.slots, this.request, this.models, this.analyzer, this.clock) = (slots, request, models, analyzer, clock);
        (chunks, reranking, joiner) = (new(slots, store), new(models, clock, request.Span), new(slots));
    }

    public async ValueTask<(SearchOutcome? Outcome, ProxyError? Error)> RunAsync(CancellationToken cancellation)
    {
        var ranked = new List<RankedQuery>();
        using (var giveUp = CancellationTokenSource.CreateLinkedTokenSource(cancellation))
        {
            // The feedback's temperature belongs to shares that sum up to 1.
            var sum = request.LexicalWeight + request.DenseWeight;
            var weights = sum > 0 ? sum : 1;

            // The words are scored while the model embeds.
            var embedding = new QueryEmbedder(models, request.Span).EmbedAsync(slots.Indexes, request.Queries, giveUp.Token);
            var words = new List<(Ranker Ranker, QueryWords Words, TimeSpan Took)>();
            try
            {
                foreach (var query in request.Queries)
                {
                    var ranker = new Ranker(slots, chunks, analyzer, request.LexicalWeight / weights, request.DenseWeight / weights);
                    words.Add((ranker, await ranker.WordsAsync(query, cancellation).ConfigureAwait(false), clock.End("words")));
                }
            }
            catch
            {
                await giveUp.CancelAsync().ConfigureAwait(false);
                await ((Task)embedding).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                throw;
            }

            var embedded = await embedding.ConfigureAwait(false);
            clock.End("embed");
            if (embedded.Error is not null) return (null, embedded.Error);
            for (var i = 0; i < words.Count; i++)
            {
                var ranking = await RankAsync(words[i].Ranker, words[i].Words, embedded.Vectors[i], words[i].Took, cancellation).ConfigureAwait(false);
                ranked.Add(new(words[i].Ranker, words[i].Words, embedded.Vectors[i], ranking));
                if (embedded.LexicalOnly[i] is { } reason) clock.Note(reason);
            }

            var lexicalOnly = embedded.LexicalOnly.All(static reason => reason is not null) ? embedded.LexicalOnly[0] : null;
            return (await ChooseAsync(ranked, lexicalOnly, cancellation).ConfigureAwait(false), null);
        }
    }

    private async ValueTask<Ranking.Ranking> RankAsync(
        Ranker ranker, QueryWords words, IReadOnlyList<QueryVector> vectors, TimeSpan took, CancellationToken cancellation)
    {
        var dense = await ranker.VectorsAsync(vectors, cancellation).ConfigureAwait(false);
        var first = ranker.Fuse(words, vectors, dense);
        took += clock.End("vectors");
        if (took > FirstPassLimit)
        {
            clock.Note($"the first pass took {took.TotalMilliseconds:F0} ms, so there was no feedback");
            return first;
        }

        var second = await ranker.FeedBackAsync(first, words, vectors, cancellation).ConfigureAwait(false);
        clock.End("feedback");
        return second;
    }

    private async ValueTask<SearchOutcome> ChooseAsync(List<RankedQuery> ranked, string? lexicalOnly, CancellationToken cancellation)
    {
        var reranker = reranking.Find(request.Rerank);
        var isPlain = reranker is null && request is { Threshold: null, Join: false, Trace: false };
        var most = isPlain ? request.Most : Math.Clamp(2 * request.Most, Reranking.Most, ScoreList.Depth);
        var merged = Merge(ranked, Math.Max(most, request.Most));
        await chunks.LoadAsync(merged.Select(static place => place.Slot), cancellation).ConfigureAwait(false);
        var candidates = await ScoreAsync(ranked, merged, cancellation).ConfigureAwait(false);
        clock.End("load");
        if (reranker is not null)
        {
            candidates = await reranking.RankAsync(reranker, request.Queries, candidates, cancellation).ConfigureAwait(false);
            candidates = [.. candidates.Select(static c => c.Rerank is { } score ? c with { Score = Math.Clamp(score, 0, 1) } : c)];
            clock.End("rerank");
        }

        var chosen = Pass(ranked, candidates);
        var hits = request.Join ? await joiner.JoinAsync(chosen, cancellation).ConfigureAwait(false) : joiner.Single(chosen);
        clock.End("select");
        return new(hits, request.Trace ? Tracing.Trace(clock, ranked, candidates) : null) { LexicalOnly = lexicalOnly };
    }

    /// <summary>The best chunks of all queries. A chunk has the best of its ranks; of equal ranks the higher score is first.</summary>
    private static List<(int Slot, int Rank, double Score, int Query)> Merge(List<RankedQuery> ranked, int most)
    {
        var best = new Dictionary<int, (int Slot, int Rank, double Score, int Query)>();
        for (var query = 0; query < ranked.Count; query++)
        {
            var fused = ranked[query].Ranking.Fused;
            for (var i = 0; i < Math.Min(most, fused.Count); i++)
            {
                var here = (fused[i].Slot, i + 1, fused[i].Score, query);
                if (!best.TryGetValue(fused[i].Slot, out var there) || Compare(here, there) < 0) best[fused[i].Slot] = here;
            }
        }

        var merged = best.Values.ToList();
        merged.Sort(Compare);
        return merged.GetRange(0, Math.Min(most, merged.Count));

        static int Compare((int Slot, int Rank, double Score, int Query) a, (int Slot, int Rank, double Score, int Query) b) =>
            a.Rank != b.Rank ? a.Rank.CompareTo(b.Rank) : a.Score != b.Score ? b.Score.CompareTo(a.Score) : a.Slot.CompareTo(b.Slot);
    }

    /// <summary>Candidates with their scores; chunks that are gone are left out.</summary>
    private async ValueTask<List<Candidate>> ScoreAsync(
        List<RankedQuery> ranked, List<(int Slot, int Rank, double Score, int Query)> merged, CancellationToken cancellation)
    {
        var scores = new Dictionary<int, (double? Cosine, double Score)>();
        foreach (var group in merged.Where(place => chunks.Find(place.Slot) is not null).GroupBy(static place => place.Query))
        {
            var query = ranked[group.Key];
            var cosines = await query.Ranker.CosinesAsync(group.Select(static place => place.Slot), query.Vectors, cancellation).ConfigureAwait(false);
            foreach (var place in group)
            {
                var hasCosine = cosines.TryGetValue(place.Slot, out var cosine);
                scores[place.Slot] = hasCosine ? (cosine, query.ScoreOf(place.Slot, cosine)) : (null, query.ShareOf(place.Score));
            }
        }

        var candidates = new List<Candidate>(merged.Count);
        foreach (var (slot, rank, score, query) in merged)
        {
            if (chunks.Find(slot) is { } chunk)
                candidates.Add(new(slot, chunk, score, rank) { Query = query, Cosine = scores[slot].Cosine, Score = scores[slot].Score });
        }

        return candidates;
    }

    /// <summary>The candidates that become hits.</summary>
    private List<Candidate> Pass(List<RankedQuery> ranked, List<Candidate> candidates)
    {
        var seen = new NearDuplicates();
        var chosen = new List<Candidate>();
        foreach (var candidate in candidates)
        {
            if (chosen.Count == request.Most) break;
            var hasScore = candidate.Rerank is not null || ranked[candidate.Query].Vectors.Count > 0;
            if (request.Threshold is { } least && hasScore && candidate.Score < least) continue;
            if (request.Join && !seen.IsNew(candidate.Chunk.Chunk.Text)) continue;
            chosen.Add(candidate);
        }

        return chosen;
    }
}
