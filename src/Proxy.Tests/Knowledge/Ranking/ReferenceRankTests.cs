using System.Runtime.InteropServices;
using System.Text.Json;
using Proxy.Knowledge.Analysis;
using Proxy.Knowledge.Index;
using Proxy.Knowledge.Ranking;
using Proxy.Tests.Harness;
using Proxy.Tests.Knowledge.Analysis;
using Proxy.Tests.Rules;

namespace Proxy.Tests.Knowledge.Ranking;

/// <summary>
/// A collection of 208 short documents and 25 queries, ranked by the recipe's reference in numpy with the ASCII analyser. <c>reference/</c> has the documents,
/// the queries with the 25 best (document, score) of every stage, and the vectors that the bundled model gives: int8 steps, of length 1 when scaled;
/// the scores were computed from these. Of words with equal weights at the 20th place of the feedback, the first by its characters is taken, as the product
/// does; numpy takes any of them.
/// </summary>
public sealed class ReferenceRankTests
{
    private const double Tolerance = 1e-4;
    private static readonly Reference Data = Reference.Read();

    public static TheoryData<int> Queries => [.. Enumerable.Range(0, Data.Queries.Count)];

    [Theory]
    [MemberData(nameof(Queries))]
    public async Task Every_stage_Ranks_as_the_reference(int number)
    {
        var expected = Data.Queries[number];
        using var opened = await Opened.Of(Data);
        var ranker = opened.Ranker();
        IReadOnlyList<QueryVector> query = [new(SearchBox.Model, Data.QueryVectors[number])];

        var words = await ranker.WordsAsync(expected.Text, default);
        var dense = await ranker.VectorsAsync(query, default);
        var first = ranker.Fuse(words, query, dense);
        var second = await ranker.FeedBackAsync(first, words, query, default);
        var alone = await ranker.FeedBackAsync(ranker.Fuse(words, [], []), words, [], default);

        Same(expected.Stage("lexical").Where(static row => row.Score > 0), Of(words.Scores.Top));
        Same(expected.Stage("dense"), Of(dense[0].Top));
        Same(expected.Stage("first"), first.FirstFused);
        Same(expected.Stage("feedback"), second.Fused);
        if (words.Scores.Top.Length >= LexicalFeedback.Chunks) Same(expected.Stage("words"), alone.Fused);
    }

    /// <summary>The same documents in three workspaces, one of them empty, give the same scores: frequencies and lengths are those of all.</summary>
    [Fact]
    public async Task Several_workspaces_Rank_as_one()
    {
        using var one = await Opened.Of(Data);
        using var several = await Opened.Of(Data, 90, 90, 208);
        foreach (var number in new[] { 0, 7, 12, 19 })
        {
            IReadOnlyList<QueryVector> query = [new(SearchBox.Model, Data.QueryVectors[number])];
            var lists = new List<List<FusedSlot>>();
            foreach (var opened in new[] { one, several })
            {
                var ranker = opened.Ranker();
                var words = await ranker.WordsAsync(Data.Queries[number].Text, default);
                var first = ranker.Fuse(words, query, await ranker.VectorsAsync(query, default));
                lists.Add((await ranker.FeedBackAsync(first, words, query, default)).Fused);
            }

            Same(lists[0].Take(50), lists[1]);
        }
    }

    /// <summary>With the product's analyser, words that are joined by hyphens or slashes score as the words do.</summary>
    [Theory]
    [InlineData("boundary-layer flow", "boundary layer flow")]
    [InlineData("lift/drag of two-dimensional wings at 2.5 mach", "lift drag of two dimensional wings at 2 5 mach")]
    public async Task Joined_words_Score_as_words(string joined, string apart)
    {
        var box = new SearchBox();
        var workspace = await box.AddWorkspaceAsync();
        string[] texts =
        [
            "The boundary-layer flow over a wing", "A boundary layer, and the flow", "Two-dimensional wings at mach 2.5", "Lift/drag of 5 wings",
            "The layer of paint", "The lift and the drag of 2 dimensional shapes",
        ];
        for (var i = 0; i < texts.Length; i++) await box.AddAsync(workspace, $"{i}.txt", (texts[i], [1, 0]));
        using var index = (await box.Store.OpenAsync(workspace, default))!;
        var slots = new SearchedSlots([index], [null]);
        var ranker = new Ranker(slots, new(slots, box.Store), new TextAnalyzer(), 0.4, 0.6);

        var scores = (await ranker.WordsAsync(joined, default)).Scores.Top;

        Assert.NotEmpty(scores);
        Assert.Equal((await ranker.WordsAsync(apart, default)).Scores.Top, scores);
    }

    private static IEnumerable<FusedSlot> Of(IEnumerable<ScoredSlot> scored) => scored.Select(static one => new FusedSlot(one.Slot, one.Score));

    /// <summary>Each expected document has the expected score, and each rank too: of equal scores the order may differ.</summary>
    private static void Same(IEnumerable<FusedSlot> expected, IEnumerable<FusedSlot> actual)
    {
        var ranked = actual.ToList();
        var scores = ranked.ToDictionary(static one => one.Slot, static one => one.Score);
        foreach (var (rank, (slot, score)) in expected.Index())
        {
            Assert.True(scores.TryGetValue(slot, out var own), $"rank {rank}: document {slot} is missing");
            Assert.Equal(score, own, Tolerance);
            Assert.Equal(score, ranked[rank].Score, Tolerance);
        }
    }

    private sealed class Opened(MemoryKnowledgeStore store, IReadOnlyList<IWorkspaceIndex> indexes) : IDisposable
    {
        private readonly SearchedSlots slots = new(indexes, new SlotMask?[indexes.Count]);

        /// <param name="data">The documents.</param>
        /// <param name="ends">Where each workspace ends; none: all documents are in one.</param>
        public static async Task<Opened> Of(Reference data, params int[] ends)
        {
            var box = new SearchBox(new ReferenceAnalyzer(), dimensions: 384);
            var indexes = new List<IWorkspaceIndex>();
            var from = 0;
            foreach (var end in ends is [] ? [data.Documents.Count] : ends)
            {
                var workspace = await box.AddWorkspaceAsync();
                for (; from < end; from++) await box.AddAsync(workspace, data.Documents[from].Title + ".txt", (data.Documents[from].Text, data.Vectors[from]));
                indexes.Add((await box.Store.OpenAsync(workspace, default))!);
            }

            return new(box.Store, indexes);
        }

        public Ranker Ranker() => new(slots, new(slots, store), new ReferenceAnalyzer(), 0.4, 0.6);

        public void Dispose()
        {
            foreach (var index in indexes) index.Dispose();
        }
    }

    private sealed record ReferenceQuery(string Text, JsonElement Row)
    {
        public IEnumerable<FusedSlot> Stage(string name) =>
            Row.GetProperty(name).EnumerateArray().Select(static pair => new FusedSlot(pair[0].GetInt32(), pair[1].GetDouble()));
    }

    private sealed record Reference(
        IReadOnlyList<(string Title, string Text)> Documents, IReadOnlyList<ReferenceQuery> Queries, float[][] Vectors, float[][] QueryVectors)
    {
        public static Reference Read()
        {
            const string Folder = "src/Proxy.Tests/Knowledge/Ranking/reference/";
            List<(string, string)> documents =
                [.. Lines(Folder + "documents.jsonl").Select(static row => (row.GetProperty("title").GetString()!, row.GetProperty("text").GetString()!))];
            List<ReferenceQuery> queries =
                [.. Lines(Folder + "queries.jsonl").Select(static row => new ReferenceQuery(row.GetProperty("text").GetString()!, row))];
            var bytes = File.ReadAllBytes(Path.Combine(Repository.Root, Folder, "vectors.i8"));
            float[][] vectors = [.. MemoryMarshal.Cast<byte, sbyte>(bytes).ToArray().Chunk(384).Select(Scaled)];
            Assert.Equal(documents.Count + queries.Count, vectors.Length);
            return new(documents, queries, vectors[..documents.Count], vectors[documents.Count..]);
        }

        private static IEnumerable<JsonElement> Lines(string file) =>
            Repository.Read(file).Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(static line => JsonElement.Parse(line));

        private static float[] Scaled(sbyte[] steps)
        {
            var length = Math.Sqrt(steps.Sum(static step => (double)step * step));
            return Array.ConvertAll(steps, step => (float)(step / length));
        }
    }
}
