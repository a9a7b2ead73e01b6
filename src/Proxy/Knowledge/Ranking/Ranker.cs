using Proxy.Knowledge.Analysis;
using Proxy.Knowledge.Index;

namespace Proxy.Knowledge.Ranking;

/// <summary>The vector of a query by one model, of length 1.</summary>
internal sealed record QueryVector(string Model, ReadOnlyMemory<float> Values);

/// <summary>The words of a query: its terms that stand in any chunk, and the chunks that have them.</summary>
internal sealed record QueryWords(IReadOnlyList<TermPostings> Terms, ScoreList Scores);

/// <summary>A query's ranking with every stage.</summary>
/// <param name="First">The lists of the first pass.</param>
/// <param name="FirstFused">Their fusion.</param>
/// <param name="Last">The lists of the last pass: the second, or the first.</param>
/// <param name="Fused">Their fusion: the result.</param>
internal sealed record Ranking(PassScores First, List<FusedSlot> FirstFused, PassScores Last, List<FusedSlot> Fused);

/// <summary>
/// Ranks chunks by words and vectors: both scored, fused, then both scored again with a query that the best chunks have widened, and fused again. The constants
/// were measured on nine judged collections; tuning them for one did not carry over to others.
/// </summary>
/// <param name="slots">The collection.</param>
/// <param name="chunks">Reads the best chunks.</param>
/// <param name="analyzer">Makes terms.</param>
/// <param name="lexicalWeight">The share of words in the fused score.</param>
/// <param name="denseWeight">The share of vectors; several models share it.</param>
internal sealed class Ranker(SearchedSlots slots, ChunkSource chunks, ITextAnalyzer analyzer, double lexicalWeight, double denseWeight)
{
    private const int DenseChunks = 5;
    private const double DenseShare = 0.5;

    private readonly LexicalPass lexical = new(slots);

    /// <summary>An identifier names chunks if it stands in no more of them than this.</summary>
    public const int FewChunks = 3;

    /// <summary>
    /// Scores by the query's words. Each term counts once. The parts of an identifier are looked for only if no chunk has the whole: else its one chunk would
    /// be lost among the many that have a part. Words joined by a hyphen are looked for as words, unless they are the whole query and name few chunks.
    /// </summary>
    public async ValueTask<QueryWords> WordsAsync(string query, CancellationToken cancellation)
    {
        var terms = analyzer.QueryTerms(query);
        TermKey[] keys = [.. terms.SelectMany(static term => new TermKey[] { new(TermField.Body, term.Term), new(TermField.Title, term.Term) })];
        var read = await lexical.ReadAsync(keys, cancellation).ConfigureAwait(false);
        var frequencies = read.Where(static term => term.Key.Field == TermField.Body).ToDictionary(static term => term.Key.Term, static term => term.Frequency);
        var isAlone = terms.Count(static term => term.PartOf.Count == 0) == 1;
        var dropped = terms.Where(term => term.PartOf.Any(Names) || (term.IsCompound && !Names(new(term.Term, IsCode: false))))
            .Select(static term => term.Term).ToHashSet();
        var found = read.FindAll(term => !dropped.Contains(term.Key.Term));
        return new(found, lexical.Score(found.Select(static term => (term, 1.0)), cancellation));

        bool Names(Identifier identifier) =>
            frequencies.GetValueOrDefault(identifier.Term) is > 0 and var count && (identifier.IsCode || (isAlone && count <= FewChunks));
    }

    /// <summary>Scores by vectors: for each of them the nearest chunks of the workspaces that have vectors of its model.</summary>
    public async ValueTask<IReadOnlyList<ScoreList>> VectorsAsync(IReadOnlyList<QueryVector> query, CancellationToken cancellation)
    {
        var lists = new ScoreList[query.Count];
        for (var model = 0; model < lists.Length; model++)
        {
            var top = new TopSlots(Math.Min(ScoreList.Depth, slots.Candidates));
            for (var index = 0; index < slots.Indexes.Count; index++)
            {
                var set = SetOf(index, query[model].Model);
                if (set < 0) continue;
                var near = await slots.Indexes[index].NearestAsync(set, query[model].Values, ScoreList.Depth, slots.MaskOf(index), cancellation)
                    .ConfigureAwait(false);
                foreach (var scored in near) top.Add(slots.OffsetOf(index) + scored.Slot, scored.Score);
            }

            lists[model] = new(top.Sorted(), 0);
        }

        return lists;
    }

    /// <summary>Fuses the first pass.</summary>
    public Ranking Fuse(QueryWords words, IReadOnlyList<QueryVector> query, IReadOnlyList<ScoreList> dense)
    {
        var pass = new PassScores(words.Scores, dense);
        var fused = FusionOf(query).Fuse(pass);
        return new(pass, fused, pass, fused);
    }

    /// <summary>The second pass, with the query widened by the best chunks of the first.</summary>
    public async ValueTask<Ranking> FeedBackAsync(Ranking first, QueryWords words, IReadOnlyList<QueryVector> query, CancellationToken cancellation)
    {
        var moved = await MoveAsync(query, Fusion.Best(first.FirstFused, DenseChunks), cancellation).ConfigureAwait(false);
        // The vectors are scanned while the words are looked up.
        using var giveUp = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var nearest = VectorsAsync(moved, giveUp.Token).AsTask();
        try
        {
            var best = Fusion.Best(first.FirstFused, LexicalFeedback.Chunks);
            var widened = await new LexicalFeedback(lexical, chunks, analyzer).WidenAsync(words.Terms, best, cancellation).ConfigureAwait(false);
            var second = new PassScores(lexical.Score(widened, cancellation), await nearest.ConfigureAwait(false));
            return first with { Last = second, Fused = FusionOf(query).Fuse(second) };
        }
        catch
        {
            // The scan reads what the caller is about to close.
            await giveUp.CancelAsync().ConfigureAwait(false);
            await ((Task)nearest).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            throw;
        }
    }

    /// <summary>The cosines of chunks to a query, by the first model of their workspaces among those that embedded it.</summary>
    public async ValueTask<Dictionary<int, double>> CosinesAsync(IEnumerable<int> numbers, IReadOnlyList<QueryVector> query, CancellationToken cancellation)
    {
        var cosines = new Dictionary<int, double>();
        foreach (var group in numbers.Select(slots.Locate).GroupBy(static place => place.Index, static place => place.Slot))
        {
            var vector = query.FirstOrDefault(vector => SetOf(group.Key, vector.Model) >= 0);
            if (vector is null) continue;
            int[] places = [.. group];
            var vectors = await slots.Indexes[group.Key].VectorsAsync(SetOf(group.Key, vector.Model), places, cancellation).ConfigureAwait(false);
            for (var i = 0; i < places.Length; i++) cosines[slots.OffsetOf(group.Key) + places[i]] = Dot(vectors[i], vector.Values.Span);
        }

        return cosines;
    }

    /// <summary>The chunks that have a term. For terms of few chunks.</summary>
    public IEnumerable<int> ChunksWith(TermPostings term)
    {
        for (var index = 0; index < term.Lists.Length; index++)
        {
            foreach (var (block, data) in term.Lists[index].Blocks)
            {
                foreach (var slot in SlotsOf(data.Span, block)) yield return slots.OffsetOf(index) + slot;
            }
        }
    }

    /// <summary>Moves the query's vectors towards those of the best chunks.</summary>
    private async ValueTask<List<QueryVector>> MoveAsync(
        IReadOnlyList<QueryVector> query, List<(int Slot, double Weight)> best, CancellationToken cancellation)
    {
        var moved = new List<QueryVector>(query.Count);
        foreach (var vector in query)
        {
            var sum = new double[vector.Values.Length];
            foreach (var group in best.Select(chunk => (Place: slots.Locate(chunk.Slot), chunk.Weight)).GroupBy(static chunk => chunk.Place.Index))
            {
                var set = SetOf(group.Key, vector.Model);
                if (set < 0) continue;
                var near = await slots.Indexes[group.Key].VectorsAsync(set, [.. group.Select(static chunk => chunk.Place.Slot)], cancellation)
                    .ConfigureAwait(false);
                foreach (var (values, weight) in near.Zip(group.Select(static chunk => chunk.Weight)))
                {
                    for (var i = 0; i < sum.Length; i++) sum[i] += weight * values[i];
                }
            }

            moved.Add(vector with { Values = Moved(vector.Values.Span, sum) });
        }

        return moved;
    }

    private static List<int> SlotsOf(ReadOnlySpan<byte> data, int block)
    {
        var found = new List<int>();
        var reader = new PostingBlock.Reader(data, block);
        while (reader.Next(out var posting)) found.Add(posting.Slot);
        return found;
    }

    private static float[] Moved(ReadOnlySpan<float> query, double[] towards)
    {
        var squares = 0.0;
        for (var i = 0; i < towards.Length; i++)
        {
            towards[i] = query[i] + (DenseShare * towards[i]);
            squares += towards[i] * towards[i];
        }

        var length = Math.Max(Math.Sqrt(squares), 1e-12);
        return Array.ConvertAll(towards, value => (float)(value / length));
    }

    private Fusion FusionOf(IReadOnlyList<QueryVector> query)
    {
        var shares = new double[slots.Indexes.Count][];
        for (var index = 0; index < shares.Length; index++)
        {
            var has = query.Select(vector => SetOf(index, vector.Model) >= 0).ToList();
            var each = denseWeight / Math.Max(1, has.Count(static it => it));
            shares[index] = [.. has.Select(it => it ? each : 0)];
        }

        return new(slots, query.Count == 0 ? 1 : lexicalWeight, shares);
    }

    /// <summary>Which of a workspace's vectors are of that model; -1: none.</summary>
    private int SetOf(int index, string model)
    {
        var sets = slots.Indexes[index].Workspace.Vectors;
        for (var set = 0; set < sets.Count; set++)
        {
            if (sets[set].Model == model) return set;
        }

        return -1;
    }

    private static double Dot(ReadOnlySpan<float> left, ReadOnlySpan<float> right)
    {
        var sum = 0.0;
        for (var i = 0; i < Math.Min(left.Length, right.Length); i++) sum += (double)left[i] * right[i];
        return sum;
    }
}
