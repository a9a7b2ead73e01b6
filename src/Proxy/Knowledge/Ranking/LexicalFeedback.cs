using Proxy.Knowledge.Analysis;
using Proxy.Knowledge.Index;

namespace Proxy.Knowledge.Ranking;

/// <summary>
/// Widens a query by the terms of its best chunks (RM3): a term's weight is the sum over the chunks of weight × share of the chunk's terms, times the root of
/// its rarity. The best 20 are kept and weigh 0.3 together, the query's own terms 0.7.
/// </summary>
internal sealed class LexicalFeedback(LexicalPass pass, ChunkSource chunks, ITextAnalyzer analyzer)
{
    public const int Chunks = 10;
    private const int Terms = 20;
    private const double OwnShare = 0.7;

    /// <summary>How many terms are looked up at a time.</summary>
    private const int Step = 64;

    /// <param name="query">The query's terms that stand in any chunk, of both fields.</param>
    /// <param name="best">The best chunks with their weights.</param>
    /// <param name="cancellation">Ends it.</param>
    public async ValueTask<List<(TermPostings Term, double Weight)>> WidenAsync(
        IReadOnlyList<TermPostings> query, List<(int Slot, double Weight)> best, CancellationToken cancellation)
    {
        var shares = await SharesAsync(best, cancellation).ConfigureAwait(false);
        var known = query.Where(static term => term.Key.Field == TermField.Body).ToDictionary(static term => term.Key.Term);
        var added = await StrongestAsync(shares, known, cancellation).ConfigureAwait(false);

        var own = OwnShare / Math.Max(known.Count, 1);
        var weights = new Dictionary<TermKey, (TermPostings Term, double Weight)>();
        foreach (var term in query) weights[term.Key] = (term, own);
        var sum = Math.Max(added.Sum(static term => term.Weight), 1e-9);
        foreach (var (term, weight) in added)
            weights[term.Key] = (term, weights.GetValueOrDefault(term.Key).Weight + ((1 - OwnShare) * weight / sum));
        return [.. weights.Values];
    }

    /// <summary>For each term of the chunks, its weighted share of them, largest first.</summary>
    private async ValueTask<List<KeyValuePair<string, double>>> SharesAsync(List<(int Slot, double Weight)> best, CancellationToken cancellation)
    {
        await chunks.LoadAsync(best.Select(static chunk => chunk.Slot), cancellation).ConfigureAwait(false);
        var shares = new Dictionary<string, double>();
        foreach (var (slot, weight) in best)
        {
            if (chunks.Find(slot) is not { } chunk) continue;
            var counts = analyzer.Count(chunk.Chunk.Text);
            counts.Add(analyzer.Count(chunk.Title));
            foreach (var (term, count) in counts.Words) shares[term] = shares.GetValueOrDefault(term) + (weight * count / Math.Max(counts.Length, 1));
        }

        var sorted = shares.ToList();
        sorted.Sort(static (a, b) => a.Value != b.Value ? b.Value.CompareTo(a.Value) : string.CompareOrdinal(a.Key, b.Key));
        return sorted;
    }

    /// <summary>
    /// The terms with the highest weights. Terms are looked up in the order of their shares, until even the rarest term could not be among the best with the
    /// next share: so most lists are not read. Of terms that were counted before, only the lists of the best are.
    /// </summary>
    private async ValueTask<List<(TermPostings Term, double Weight)>> StrongestAsync(
        List<KeyValuePair<string, double>> shares, Dictionary<string, TermPostings> known, CancellationToken cancellation)
    {
        var rarest = Math.Sqrt(pass.RarityOf(1));
        var found = new List<(string Term, double Weight)>();
        var lists = new Dictionary<string, TermPostings>(known);
        for (var at = 0; at < shares.Count; at += Step)
        {
            if (found.Count >= Terms && found[Terms - 1].Weight >= shares[at].Value * rarest) break;
            var step = shares.GetRange(at, Math.Min(Step, shares.Count - at));
            var (frequencies, read) = await pass.CountAsync(step.Select(static term => term.Key), cancellation).ConfigureAwait(false);
            foreach (var (term, postings) in read) lists.TryAdd(term, postings);
            foreach (var (term, share) in step)
            {
                if (frequencies[term] is > 0 and var frequency) found.Add((term, share * Math.Sqrt(pass.RarityOf(frequency))));
            }

            found.Sort(static (a, b) => a.Weight != b.Weight ? b.Weight.CompareTo(a.Weight) : string.CompareOrdinal(a.Term, b.Term));
            if (found.Count > Terms) found.RemoveRange(Terms, found.Count - Terms);
        }

        TermKey[] missing = [.. found.Where(term => !lists.ContainsKey(term.Term)).Select(static term => new TermKey(TermField.Body, term.Term))];
        foreach (var term in await pass.ReadAsync(missing, cancellation).ConfigureAwait(false)) lists[term.Key.Term] = term;
        return [.. found.Where(term => lists.ContainsKey(term.Term)).Select(term => (lists[term.Term], term.Weight))];
    }
}
