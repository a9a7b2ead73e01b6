using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.RegularExpressions;
using Microsoft.Extensions.Logging.Abstractions;
using Proxy.Config;
using Proxy.Inference;
using Proxy.Knowledge;
using Proxy.Knowledge.Analysis;
using Proxy.Knowledge.Index;
using Proxy.Knowledge.Ranking;
using Proxy.Knowledge.Search;
using Proxy.Tests.Harness;
using Proxy.Tests.Knowledge.Analysis;
using Proxy.Vectors;

namespace Proxy.Bench;

/// <summary>
/// <c>pages FOLDER COLLECTION</c> makes a collection of unpacked manual pages; <c>embed COLLECTION</c> writes the vectors of its documents and queries beside
/// it (<c>d.f32</c>, <c>q.f32</c>); <c>run COLLECTION [RERANKER_FOLDER]</c> prints the table; <c>speed COLLECTION CHUNKS FOLDER</c> times searches in that
/// many made-up chunks, kept in a folder; <c>ingest COLLECTION FOLDER</c> compares reading files with embedding alone. Exit code 1: a goal is missed.
/// </summary>
internal static partial class Program
{
    public static async Task<int> Main(string[] arguments)
    {
        if (arguments is ["pages", var pages, var made])
        {
            ManPages.Read(pages).Write(made);
            return 0;
        }

        if (arguments is not [var verb, var folder, .. var rest] || verb is not ("embed" or "run" or "speed" or "ingest")) return 2;
        using var models = new LocalModels(new(), NullLogger.Instance);
        var collection = Collection.Read(folder);
        var embedder = models.Table.FirstEmbedder!;
        if (verb == "speed")
        {
            var real = await EmbedAsync(embedder, collection.Documents.Take(400).Select(Embedded), PromptKind.Document);
            await new Speed(collection, embedder, real, int.Parse(rest[0], CultureInfo.InvariantCulture)).RunAsync(rest[1]);
            return 0;
        }

        if (verb == "ingest") return await IngestRate.RunAsync(collection, embedder, rest[0]) >= 0.9 ? 0 : 1;
        if (verb == "run") return await RunAsync(collection, embedder, rest.FirstOrDefault());
        Write(Path.Combine(folder, "d.f32"), await EmbedAsync(embedder, collection.Documents.Select(Embedded), PromptKind.Document));
        Write(Path.Combine(folder, "q.f32"), await EmbedAsync(embedder, collection.Queries.Select(static query => query.Text), PromptKind.Query));
        return 0;
    }

    private static async Task<int> RunAsync(Collection collection, IEmbedder embedder, string? rerankerFolder)
    {
        Console.WriteLine($"{collection.Documents.Count} documents, {collection.Queries.Count} queries, embedded by {embedder.Info.Name}");
        Console.WriteLine();
        var documents = await EmbedAsync(embedder, collection.Documents.Select(Embedded), PromptKind.Document);
        var queries = await EmbedAsync(embedder, collection.Queries.Select(static query => query.Text), PromptKind.Query);
        using var reranker = rerankerFolder is null ? null : LocalModels.Make(new() { Name = "reranker", Path = rerankerFolder }, new(), NullLogger.Instance);

        Console.WriteLine("| stage | reference: nDCG@10 | R@100 | P@1 | product: nDCG@10 | R@100 | P@1 |");
        Console.WriteLine("|---|---|---|---|---|---|---|");
        var reference = await StagesAsync(collection, new ReferenceAnalyzer(), embedder, documents, queries, reranker as IReranker);
        var product = await StagesAsync(collection, new TextAnalyzer(), embedder, documents, queries, reranker as IReranker);
        foreach (var (stage, scores) in reference) Console.WriteLine($"| {stage} | {scores} | {product[stage]} |");
        Console.WriteLine();
        var (first, asked) = await LookUpsAsync(collection, embedder, documents);
        Console.WriteLine($"identifiers that stand in one document: first in {100.0 * first / asked:F1} % of {asked} look-ups");
        const string Last = "z-fusion with feedback";
        var loss = reference[Last].Gain - product[Last].Gain;
        return loss > 0.003 || first < 0.99 * asked ? 1 : 0;
    }

    private static async Task<Dictionary<string, Scores>> StagesAsync(
        Collection collection, ITextAnalyzer analyzer, IEmbedder embedder, List<float[]> documents, List<float[]> queries, IReranker? reranker)
    {
        var store = await FillAsync(collection, analyzer, embedder.Info.Name, documents);
        using var index = (await store.OpenAsync("vs_pages", default))!;
        var slots = new SearchedSlots([index], [null]);
        var stages = new Dictionary<string, List<int[]>>();
        for (var i = 0; i < queries.Count; i++)
        {
            var chunks = new ChunkSource(slots, store);
            var ranker = new Ranker(slots, chunks, analyzer, 0.4, 0.6);
            IReadOnlyList<QueryVector> vectors = [new(embedder.Info.Name, queries[i])];
            var words = await ranker.WordsAsync(collection.Queries[i].Text, default);
            var alone = ranker.Fuse(words, [], []);
            var first = ranker.Fuse(words, vectors, await ranker.VectorsAsync(vectors, default));
            var second = await ranker.FeedBackAsync(first, words, vectors, default);
            Keep("BM25 with titles", alone.Fused);
            Keep("no model: with feedback", (await ranker.FeedBackAsync(alone, words, [], default)).Fused);
            Keep("dense", [.. first.First.Dense[0].Top.Select(static scored => new FusedSlot(scored.Slot, scored.Score))]);
            Keep("z-fusion, first pass", first.Fused);
            Keep("z-fusion with feedback", second.Fused);
            if (reranker is null) continue;
            await chunks.LoadAsync(second.Fused.Take(Reranking.Most).Select(static fused => fused.Slot), default);
            var read = second.Fused.Take(Reranking.Most).Select(fused => Embedded(collection.Documents[fused.Slot])).ToArray();
            var (scores, error) = await reranker.ScoreAsync(new(collection.Queries[i].Text, read), default);
            if (scores is null) throw new InvalidOperationException(error!.Message);
            Keep("+ rerank", [.. second.Fused.Take(Reranking.Most).Zip(scores.Scores).OrderByDescending(static pair => pair.Second)
                .Select(static pair => pair.First), .. second.Fused.Skip(Reranking.Most)]);
        }

        return stages.ToDictionary(static stage => stage.Key, stage => Scores.Of(stage.Value, collection.Queries));

        void Keep(string stage, List<FusedSlot> ranked)
        {
            if (!stages.TryGetValue(stage, out var lists)) stages[stage] = lists = [];
            lists.Add([.. ranked.Take(100).Select(static fused => fused.Slot)]);
        }
    }

    /// <summary>Searches for identifiers through the whole search, as a user would.</summary>
    private static async Task<(int First, int Asked)> LookUpsAsync(Collection collection, IEmbedder embedder, List<float[]> documents)
    {
        var analyzer = new TextAnalyzer();
        var (places, tokens) = (new Dictionary<string, List<int>>(), new HashSet<string>());
        for (var i = 0; i < collection.Documents.Count; i++)
        {
            var (title, text) = (collection.Documents[i].Title, collection.Documents[i].Text);
            foreach (var term in analyzer.TermsOf(title, text).Body.Keys)
            {
                if (!places.TryGetValue(term, out var where)) places[term] = where = [];
                where.Add(i);
            }

            foreach (Match match in Token().Matches(title + " " + text)) tokens.Add(match.Value);
        }

        // The token as a whole is one term, which stands in one document.
        var random = new Random(14);
        var identifiers = tokens.Where(static token => Identifier().IsMatch(token)).Order(StringComparer.Ordinal)
            .Select(token => (Token: token, Whole: analyzer.QueryTerms(token).Where(static term => term.PartOf.Count == 0).ToList()))
            .Where(token => token.Whole is [var whole] && places.GetValueOrDefault(whole.Term) is [_])
            .Select(token => (token.Token, Where: places[token.Whole[0].Term][0])).OrderBy(_ => random.Next()).Take(600).ToList();
        var store = await FillAsync(collection, analyzer, embedder.Info.Name, documents);
        var workspace = (await store.WorkspaceAsync("vs_pages", default))!;
        var search = new KnowledgeSearch(store, new(new OneModel(embedder), [embedder.Info.Name], null), analyzer, TimeProvider.System);
        var first = 0;
        foreach (var (token, where) in identifiers)
        {
            var (outcome, error) = await search.SearchAsync([workspace], new([token]) { Most = 3, Trace = true }, default);
            if (outcome is null) throw new InvalidOperationException(error!.Message);
            if (outcome.Hits.Count > 0 && outcome.Hits[0].File.FileId == $"file-{where}") first++;
            else Console.WriteLine($"not first: {token} of {collection.Documents[where].Title}; {string.Join("; ", outcome.Trace!.Notes)}");
        }

        return (first, identifiers.Count);
    }

    private static async Task<MemoryKnowledgeStore> FillAsync(Collection collection, ITextAnalyzer analyzer, string model, List<float[]> vectors)
    {
        var store = new MemoryKnowledgeStore();
        var now = TimeProvider.System.GetUtcNow();
        await store.SaveAsync(
            new Workspace
            {
                Id = "vs_pages", Owner = "local", Name = "pages", CreatedAt = now, LastActiveAt = now, Vectors = [new("1", model, vectors[0].Length)],
            },
            default);
        for (var i = 0; i < collection.Documents.Count; i++)
        {
            var (document, id) = (collection.Documents[i], $"file-{i}");
            var file = await store.AttachAsync(
                new() { Workspace = "vs_pages", FileId = id, Name = document.Title + ".txt", Sha256 = "", CreatedAt = now }, default);
            var chunk = new NewChunk { Text = document.Text, Vectors = [vectors[i]], Terms = analyzer.TermsOf(document.Title, document.Text) };
            await store.AppendAsync("bench", TimeSpan.FromHours(1), file, 0, [chunk], true, default);
        }

        return store;
    }

    private static string Embedded(Document document) => ChunkTitle.Embedded(document.Title, document.Text);

    private static async Task<List<float[]>> EmbedAsync(IEmbedder embedder, IEnumerable<string> texts, PromptKind kind)
    {
        var all = new List<float[]>();
        foreach (var texts64 in texts.Chunk(64))
        {
            var request = new EmbedRequest([.. texts64.Select(static text => new EmbedInput(text))]) { Truncate = true, Prompt = kind, Normalize = true };
            var (batch, error) = await embedder.EmbedAsync(request, default);
            if (batch is null) throw new InvalidOperationException(error!.Message);
            for (var i = 0; i < batch.Count; i++) all.Add(batch[i].ToArray());
        }

        return all;
    }

    private static void Write(string file, List<float[]> vectors)
    {
        using var output = File.Create(file);
        foreach (var vector in vectors) output.Write(MemoryMarshal.AsBytes(vector.AsSpan()));
    }

    [GeneratedRegex(@"[A-Za-z0-9_](?:[A-Za-z0-9_.:/-]*[A-Za-z0-9_])?")]
    private static partial Regex Token();

    /// <summary>With letters, and a digit, a connector or a capital inside. Words in capitals are words.</summary>
    [GeneratedRegex(@"^(?=.*[A-Za-z])(?=.{4,64}$)(?:.*[0-9_].*|[A-Za-z]+[-.:/][A-Za-z].*|[a-z]+[A-Z].*)$")]
    private static partial Regex Identifier();
}

/// <summary>Means over queries.</summary>
internal sealed record Scores(double Gain, double Recall, double First)
{
    public static Scores Of(List<int[]> lists, IReadOnlyList<Query> queries)
    {
        double gain = 0, recall = 0, first = 0;
        for (var i = 0; i < lists.Count; i++)
        {
            var relevant = queries[i].Relevant;
            var best = Enumerable.Range(0, Math.Min(10, relevant.Count)).Sum(static rank => 1 / Math.Log2(rank + 2));
            gain += lists[i].Take(10).Select((slot, rank) => relevant.Contains(slot) ? 1 / Math.Log2(rank + 2) : 0).Sum() / best;
            recall += (double)lists[i].Count(relevant.Contains) / relevant.Count;
            first += lists[i].Length > 0 && relevant.Contains(lists[i][0]) ? 1 : 0;
        }

        return new(gain / lists.Count, recall / lists.Count, first / lists.Count);
    }

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Gain:F4} | {Recall:F4} | {First:F4}");
}
