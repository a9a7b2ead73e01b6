using Proxy.Knowledge.Ranking;

namespace Proxy.Knowledge.Search;

/// <summary>Makes hits of candidates, and one hit of those that follow each other in a file, also if one chunk between them is missing.</summary>
internal sealed class HitJoiner(SearchedSlots slots)
{
    /// <summary>One hit a candidate.</summary>
    public List<SearchHit> Single(IEnumerable<Candidate> candidates) =>
        [.. candidates.Select(candidate => Hit(candidate, [candidate.Chunk.Chunk], candidate.Score))];

    /// <summary>Joined hits, in the order of the best of their candidates, with its score.</summary>
    public async ValueTask<List<SearchHit>> JoinAsync(List<Candidate> candidates, CancellationToken cancellation)
    {
        var hits = new List<(int Rank, SearchHit Hit)>();
        var files = candidates.Select(static (candidate, rank) => (candidate, rank))
            .GroupBy(static c => (c.candidate.Chunk.Index, c.candidate.Chunk.File.FileId));
        foreach (var file in files)
        {
            var run = new List<(Candidate Candidate, int Rank)>();
            foreach (var next in file.OrderBy(static c => c.candidate.Chunk.Chunk.Number))
            {
                if (run.Count > 0 && next.candidate.Chunk.Chunk.Number - run[^1].Candidate.Chunk.Chunk.Number > 2)
                {
                    hits.Add(await OneAsync(run, cancellation).ConfigureAwait(false));
                    run.Clear();
                }

                run.Add(next);
            }

            hits.Add(await OneAsync(run, cancellation).ConfigureAwait(false));
        }

        return [.. hits.OrderBy(static hit => hit.Rank).Select(static hit => hit.Hit)];
    }

    private async ValueTask<(int Rank, SearchHit Hit)> OneAsync(List<(Candidate Candidate, int Rank)> run, CancellationToken cancellation)
    {
        var best = run.MinBy(static member => member.Rank);
        List<StoredChunk> chunks = [.. run.Select(static member => member.Candidate.Chunk.Chunk)];
        int[] between = [.. Enumerable.Range(chunks[0].Number, chunks[^1].Number - chunks[0].Number).Except(chunks.Select(static chunk => chunk.Number))];
        if (between.Length > 0)
        {
            var index = slots.Indexes[best.Candidate.Chunk.Index];
            chunks.AddRange(await index.NeighboursAsync(chunks[0].FileId, between, cancellation).ConfigureAwait(false));
            chunks.Sort(static (a, b) => a.Number.CompareTo(b.Number));
        }

        return (best.Rank, Hit(best.Candidate, chunks, run.Max(static member => member.Candidate.Score)));
    }

    private SearchHit Hit(Candidate candidate, IReadOnlyList<StoredChunk> chunks, double score) =>
        new(slots.Indexes[candidate.Chunk.Index].Workspace, candidate.Chunk.File, chunks, TextOf(chunks), score);

    /// <summary>The chunks' texts one after the other. Where the end of one is the beginning of the next, it stands once.</summary>
    internal static string TextOf(IReadOnlyList<StoredChunk> chunks)
    {
        var text = chunks[0].Text;
        for (var i = 1; i < chunks.Count; i++)
        {
            var (before, next) = (chunks[i - 1], chunks[i]);
            var overlap = next.Number == before.Number + 1 && next.Start < before.End ? Overlap(text, next.Text) : 0;
            var gap = overlap > 0 ? "" : next.Start - before.End is 0 or 1 ? " " : "\n\n";
            text = text + gap + next.Text[overlap..];
        }

        return text;
    }

    /// <summary>The length of the longest beginning of the second text with which the first one ends: the prefix function of Knuth, Morris and Pratt.</summary>
    private static int Overlap(string first, string second)
    {
        var longest = Math.Min(first.Length, second.Length);
        var joined = string.Concat(second.AsSpan(0, longest), "\0", first.AsSpan(first.Length - longest));
        var prefix = new int[joined.Length];
        for (var i = 1; i < joined.Length; i++)
        {
            var k = prefix[i - 1];
            while (k > 0 && joined[i] != joined[k]) k = prefix[k - 1];
            prefix[i] = joined[i] == joined[k] ? k + 1 : 0;
        }

        return prefix[^1];
    }
}
