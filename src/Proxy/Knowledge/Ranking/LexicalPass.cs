using System.Buffers;
using Proxy.Knowledge.Index;

namespace Proxy.Knowledge.Ranking;

/// <summary>The posting lists of a term in every workspace, and in how many live chunks it stands.</summary>
internal sealed record TermPostings(TermKey Key, PostingList[] Lists, int Frequency);

/// <summary>BM25 over posting lists: the text with its title, and a smaller part for the title alone.</summary>
internal sealed class LexicalPass(SearchedSlots slots)
{
    public const double TitleWeight = 0.3;
    private const double K1 = 1.2;
    private const double BodyB = 0.75;
    private const double TitleB = 0.3;

    public SearchedSlots Slots => slots;

    /// <summary>
    /// In how many live chunks each term stands. The lists of those that were not counted before are read and returned too; of the others only the number.
    /// </summary>
    public async ValueTask<(Dictionary<string, int> Frequencies, Dictionary<string, TermPostings> Read)> CountAsync(
        IEnumerable<string> terms, CancellationToken cancellation)
    {
        var frequencies = new Dictionary<string, int>();
        var unknown = new List<TermKey>();
        foreach (var term in terms)
        {
            if (slots.KnownFrequency(term) is { } frequency) frequencies[term] = frequency;
            else unknown.Add(new(TermField.Body, term));
        }

        var read = (await ReadAsync(unknown, cancellation).ConfigureAwait(false)).ToDictionary(static term => term.Key.Term);
        foreach (var key in unknown) frequencies[key.Term] = read.TryGetValue(key.Term, out var postings) ? postings.Frequency : 0;
        return (frequencies, read);
    }

    /// <summary>Reads the lists of terms; those that no live chunk has are left out.</summary>
    public async ValueTask<List<TermPostings>> ReadAsync(IReadOnlyList<TermKey> terms, CancellationToken cancellation)
    {
        var lists = new PostingList[terms.Count][];
        for (var i = 0; i < terms.Count; i++) lists[i] = new PostingList[slots.Indexes.Count];
        for (var index = 0; index < slots.Indexes.Count; index++)
        {
            var read = await slots.Indexes[index].PostingsAsync(terms, cancellation).ConfigureAwait(false);
            for (var i = 0; i < terms.Count; i++) lists[i][index] = read[i];
        }

        var found = new List<TermPostings>(terms.Count);
        for (var i = 0; i < terms.Count; i++)
        {
            var frequency = 0;
            for (var index = 0; index < lists[i].Length; index++) frequency += slots.CountLive(index, terms[i], lists[i][index]);
            if (frequency > 0) found.Add(new(terms[i], lists[i], frequency));
        }

        return found;
    }

    /// <summary>The best chunks by weighted terms.</summary>
    public ScoreList Score(IEnumerable<(TermPostings Term, double Weight)> query, CancellationToken cancellation)
    {
        var scores = ArrayPool<float>.Shared.Rent(slots.Length);
        try
        {
            scores.AsSpan(0, slots.Length).Clear();
            foreach (var (term, weight) in query)
            {
                cancellation.ThrowIfCancellationRequested();
                for (var index = 0; index < term.Lists.Length; index++) Add(term, index, weight, scores);
            }

            var count = Math.Min(ScoreList.Depth, slots.Candidates);
            var top = new TopSlots(count);
            for (var index = 0; index < slots.Indexes.Count; index++)
            {
                var (offset, length) = (slots.OffsetOf(index), slots.Indexes[index].Slots.Length);
                top.AddPositive(scores.AsSpan(offset, length), slots.MaskOf(index) ?? slots.LiveIn(index), offset);
            }

            return new(top.Sorted(), count);
        }
        finally
        {
            ArrayPool<float>.Shared.Return(scores);
        }
    }

    /// <summary>How much it says that a chunk has the term.</summary>
    public double RarityOf(int frequency)
    {
        var within = Math.Min(frequency, slots.Count);
        return Math.Log(1 + ((slots.Count - within + 0.5) / (within + 0.5)));
    }

    private void Add(TermPostings term, int index, double weight, float[] scores)
    {
        var isTitle = term.Key.Field == TermField.Title;
        var (b, mean, shift) = isTitle ? (TitleB, slots.TitleMean, 16) : (BodyB, slots.BodyMean, 0);
        var factor = (float)(weight * (isTitle ? TitleWeight : 1) * RarityOf(term.Frequency) * (K1 + 1));
        var (fixedPart, perTerm) = ((float)(K1 * (1 - b)), (float)(K1 * b / Math.Max(mean, 1e-9)));
        var packed = slots.Indexes[index].Slots.Packed;
        var own = scores.AsSpan(slots.OffsetOf(index), packed.Length);
        foreach (var (block, data) in term.Lists[index].Blocks)
        {
            var reader = new PostingBlock.Reader(data.Span, block);
            while (reader.Next(out var slot, out var count))
            {
                if ((uint)slot >= (uint)packed.Length || (uint)slot >= (uint)own.Length) break; // added after the table was read
                var length = (ushort)(packed[slot] >> shift);
                own[slot] += factor * count / (count + fixedPart + (perTerm * length));
            }
        }
    }
}
