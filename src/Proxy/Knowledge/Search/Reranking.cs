using Proxy.Chat;
using Proxy.Knowledge.Analysis;
using Proxy.Vectors;

namespace Proxy.Knowledge.Search;

/// <summary>The last stage: a model reads the query together with each of the best chunks.</summary>
/// <param name="models">The models.</param>
/// <param name="clock">Gets what is unusual.</param>
/// <param name="search">The span of the search.</param>
internal sealed class Reranking(KnowledgeModels models, StageClock clock, CallSpan search)
{
    /// <summary>How many chunks it reads.</summary>
    public const int Most = 50;

    /// <summary>The reranker, if the search wants one and there is one; else null, and the trace says why.</summary>
    public IReranker? Find(bool? wanted)
    {
        if (!(wanted ?? models.HasReranker)) return null;
        var reranker = models.FindReranker();
        if (reranker is null) clock.Note(models.HasReranker ? "nothing serves the reranker now" : "no reranker is configured");
        else if (reranker is CosineReranker) clock.Note($"'{reranker.Info.Name}' embeds and does not rerank, so it was left out");
        else return reranker;
        return null;
    }

    /// <summary>The candidates in the model's order; as they were if it fails. With several queries a chunk has the best of its scores.</summary>
    public async ValueTask<List<Candidate>> RankAsync(
        IReranker reranker, IReadOnlyList<string> queries, List<Candidate> candidates, CancellationToken cancellation)
    {
        using var span = search.Begin("rerank", SpanKind.Client);
        span.Set("gen_ai.operation.name", "rerank");
        span.Set("gen_ai.request.model", reranker.Info.Name);
        var read = candidates.GetRange(0, Math.Min(Most, candidates.Count));
        string[] documents = [.. read.Select(static candidate => ChunkTitle.Embedded(candidate.Chunk.Title, candidate.Chunk.Chunk.Text))];
        var best = new float[read.Count];
        best.AsSpan().Fill(float.NegativeInfinity);
        foreach (var query in queries)
        {
            var (scores, error) = await reranker.ScoreAsync(new(query, documents) { TraceParent = span.TraceParent }, cancellation).ConfigureAwait(false);
            if (scores is null || scores.Scores.Count != documents.Length)
            {
                span.Fail(error?.Kind.ToString() ?? "Failed");
                clock.Note($"the reranker '{reranker.Info.Name}' failed: {error?.Message ?? "it gave another number of scores"}");
                return candidates;
            }

            for (var i = 0; i < best.Length; i++) best[i] = Math.Max(best[i], scores.Scores[i]);
        }

        return [.. read.Select((candidate, i) => candidate with { Rerank = best[i] }).OrderByDescending(static candidate => candidate.Rerank)];
    }
}
