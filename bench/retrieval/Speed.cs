using System.Diagnostics;
using System.Globalization;
using Proxy.Knowledge;
using Proxy.Knowledge.Analysis;
using Proxy.Knowledge.Index;
using Proxy.Knowledge.Ranking;
using Proxy.Tests.Harness;

namespace Proxy.Bench;

/// <summary>
/// Times the ranking by words and the fusion, without a scan of vectors: a made-up chunk is a page of the collection in which some terms are exchanged for
/// those of another page. The nearest chunks by vectors are drawn at random, so they cost nothing.
/// </summary>
internal static class Speed
{
    private const int Seed = 14;

    public static async Task<int> RunAsync(Collection collection, int chunks)
    {
        var analyzer = new TextAnalyzer();
        var began = Environment.CpuUsage.TotalTime;
        var characters = 0L;
        var terms = new List<ChunkTerms>();
        for (var round = 0; round < 5; round++)
        {
            terms.Clear();
            foreach (var document in collection.Documents)
            {
                characters += document.Text.Length + document.Title.Length;
                terms.Add(analyzer.TermsOf(document.Title, document.Text));
            }
        }

        Print($"analysed and counted {characters / 1e6 / (Environment.CpuUsage.TotalTime - began).TotalSeconds:F1} million characters a second of CPU time");
        using var index = new MadeUpIndex(collection, terms, chunks);
        var store = new MemoryKnowledgeStore();
        await store.SaveAsync(index.Workspace, default);
        var file = await store.AttachAsync(
            new() { Workspace = index.Workspace.Id, FileId = "file-1", Name = "page.txt", Sha256 = "", CreatedAt = default }, default);
        Print($"{chunks} chunks, {index.Postings / 1e6:F1} million postings, {index.Bytes / 1e6:F0} MB; seed {Seed}; file {file.Ordinal}");

        var (words, first, feedback) = (new List<double>(), new List<double>(), new List<double>());
        var slots = new SearchedSlots([index], [null]);
        IReadOnlyList<QueryVector> vectors = [new(MadeUpIndex.Model, new float[MadeUpIndex.Dimensions])];
        for (var i = -20; i < 200; i++)
        {
            var ranker = new Ranker(slots, new(slots, store), analyzer, 0.4, 0.6);
            var text = collection.Queries[(i + 20) % collection.Queries.Count].Text;
            var start = Stopwatch.GetTimestamp();
            var found = await ranker.WordsAsync(text, default);
            var wordsEnd = Stopwatch.GetTimestamp();
            var fused = ranker.Fuse(found, vectors, await ranker.VectorsAsync(vectors, default));
            var firstEnd = Stopwatch.GetTimestamp();
            await ranker.FeedBackAsync(fused, found, vectors, default);
            if (i < 0) continue;
            words.Add(Stopwatch.GetElapsedTime(start, wordsEnd).TotalMilliseconds);
            first.Add(Stopwatch.GetElapsedTime(wordsEnd, firstEnd).TotalMilliseconds);
            feedback.Add(Stopwatch.GetElapsedTime(firstEnd).TotalMilliseconds);
        }

        Print($"words p50 {At(words, 0.5):F2} ms, p95 {At(words, 0.95):F2} ms");
        Print($"first fusion p50 {At(first, 0.5):F2} ms, p95 {At(first, 0.95):F2} ms");
        Print($"feedback, second words and fusion p50 {At(feedback, 0.5):F2} ms, p95 {At(feedback, 0.95):F2} ms");
        return 0;
    }

    private static double At(List<double> values, double share) => values.Order().ElementAt((int)(share * (values.Count - 1)));

    private static void Print(FormattableString line) => Console.WriteLine(line.ToString(CultureInfo.InvariantCulture));

    private sealed class MadeUpIndex : IWorkspaceIndex
    {
        public const string Model = "none";
        public const int Dimensions = 384;

        private readonly Dictionary<TermKey, PostingList> lists = [];
        private readonly Collection collection;
        private readonly int count;

        public MadeUpIndex(Collection collection, List<ChunkTerms> terms, int count)
        {
            (this.collection, this.count) = (collection, count);
            var random = new Random(Seed);
            var postings = new Dictionary<TermKey, List<Posting>>();
            var packed = new ulong[count];
            for (var slot = 0; slot < count; slot++)
            {
                var (own, other) = (terms[slot % terms.Count], terms[random.Next(terms.Count)]);
                var body = own.Body.Where(_ => random.NextDouble() < 0.7).Concat(other.Body.Where(_ => random.NextDouble() < 0.3))
                    .DistinctBy(static term => term.Key).ToDictionary(static term => term.Key, static term => term.Value);
                var made = new ChunkTerms(body, own.Title);
                packed[slot] = SlotTable.Pack(1, made.BodyLength, made.TitleLength);
                foreach (var (key, times) in made.All)
                {
                    if (!postings.TryGetValue(key, out var list)) postings[key] = list = [];
                    list.Add(new(slot, times));
                    Postings++;
                }
            }

            foreach (var (key, list) in postings)
            {
                lists[key] = new([
                    .. list.GroupBy(static posting => PostingBlock.Of(posting.Slot))
                        .Select(static block => (block.Key, (ReadOnlyMemory<byte>)PostingBlock.Merge([], block.Key, [.. block], null))),
                ]);
                Bytes += lists[key].Blocks.Sum(static block => block.Data.Length);
            }

            Slots = new(packed, new HashSet<int> { 1 });
        }

        public long Postings { get; }
        public long Bytes { get; }
        public SlotTable Slots { get; }
        public Workspace Workspace { get; } = new()
        {
            Id = "vs_speed", Owner = "local", CreatedAt = default, LastActiveAt = default, Vectors = [new("1", Model, Dimensions)],
        };

        public ValueTask<IReadOnlyList<PostingList>> PostingsAsync(IReadOnlyList<TermKey> terms, CancellationToken cancellation) =>
            new([.. terms.Select(term => lists.GetValueOrDefault(term, PostingList.Empty))]);

        public ValueTask<IReadOnlyList<ScoredSlot>> NearestAsync(
            int set, ReadOnlyMemory<float> query, int most, SlotMask? mask, CancellationToken cancellation)
        {
            var random = new Random(Seed);
            return new([.. Enumerable.Range(0, most).Select(i => new ScoredSlot(random.Next(count / most) + (i * (count / most)), 0.8f - (i * 0.002f)))]);
        }

        public ValueTask<IReadOnlyList<float[]>> VectorsAsync(int set, IReadOnlyList<int> slots, CancellationToken cancellation) =>
            new([.. slots.Select(static _ => new float[Dimensions])]);

        public ValueTask<IReadOnlyList<StoredChunk>> ChunksAsync(IReadOnlyList<int> slots, CancellationToken cancellation) =>
            new([.. slots.Select(slot => new StoredChunk(slot, "file-1", slot, collection.Documents[slot % collection.Documents.Count].Text))]);

        public ValueTask<IReadOnlyList<StoredChunk>> NeighboursAsync(string fileId, IReadOnlyList<int> numbers, CancellationToken cancellation) => new([]);

        public void Dispose()
        {
        }
    }
}
