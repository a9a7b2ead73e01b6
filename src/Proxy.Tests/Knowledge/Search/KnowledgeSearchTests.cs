using System.Text.Json;
using Proxy.Chat;
using Proxy.Knowledge;
using Proxy.Knowledge.Analysis;
using Proxy.Knowledge.Filters;
using Proxy.Knowledge.Search;
using Proxy.Tests.Harness;
using Proxy.Vectors;

namespace Proxy.Tests.Knowledge.Search;

public sealed class KnowledgeSearchTests
{
    private readonly SearchBox box = new();

    [Fact]
    public async Task Words_and_vectors_Both_find()
    {
        var pets = await box.AddWorkspaceAsync();
        await box.AddAsync(pets, "cat.md", ("Felines sleep all day.", [1, 0.1f]));
        await box.AddAsync(pets, "dog.md", ("Dogs bark at the postman.", [0, 1]));
        await box.AddAsync(pets, "tax.md", ("Taxes are due in March.", [-1, 0]));
        box.Embedder.Vectors["kitten"] = [1, 0];
        box.Embedder.Vectors["postman"] = [-1, -1];

        var byVector = await box.SearchAsync(pets, new(["kitten"]) { Most = 1 });
        var byWord = await box.SearchAsync(pets, new(["postman"]) { LexicalWeight = 0.9, DenseWeight = 0.1, Most = 1 });

        Assert.Equal("cat.md", byVector.Hits.Single().File.Name);
        Assert.Equal(0.995, byVector.Hits.Single().Score, 0.001);
        Assert.Equal("Dogs bark at the postman.", byWord.Hits.Single().Text);
        Assert.Null(byVector.LexicalOnly);
        Assert.Equal(0, box.Store.Open);
    }

    [Fact]
    public async Task Several_workspaces_and_queries_Cost_one_call_of_the_model()
    {
        var (first, second) = (await box.AddWorkspaceAsync(), await box.AddWorkspaceAsync());
        await box.AddAsync(first, "a.md", ("alpha", [1, 0]));
        await box.AddAsync(second, "b.md", ("beta", [0, 1]));
        box.Embedder.Vectors["beta"] = [0, 1];

        var (outcome, _) = await box.TryAsync([first, second], new(["alpha", "beta"]));

        Assert.Equal(["alpha", "beta"], Assert.Single(box.Embedder.Calls));
        Assert.Equal([first, second], outcome!.Hits.Select(static hit => hit.Workspace.Id).Order(StringComparer.Ordinal));
        Assert.All(outcome.Hits, static hit => Assert.Equal(1, hit.Score, 0.001));
    }

    [Fact]
    public async Task A_filter_Leaves_only_files_that_pass_it_and_sees_changes()
    {
        var place = await box.AddWorkspaceAsync();
        NewChunk[] chunks = [new() { Text = "the port of the server", Vectors = [SearchBox.Unit([1, 0])], Terms = null! }];
        var german = await box.AddAsync(place, "de.md", """{"language":"de"}""", chunks);
        await box.AddAsync(place, "en.md", """{"language":"en"}""", chunks);
        var request = new SearchRequest(["port"]) { Filter = Language("de") };

        var before = await box.SearchAsync(place, request);
        await box.Store.SetAttributesAsync(german.Workspace, german.FileId, """{"language":"fr"}""", default);
        var after = await box.SearchAsync(place, request);

        Assert.Equal("de.md", before.Hits.Single().File.Name);
        Assert.Empty(after.Hits);
    }

    [Fact]
    public async Task Files_that_are_not_complete_Are_not_found_and_do_not_count()
    {
        var (place, clean) = (await box.AddWorkspaceAsync(), await box.AddWorkspaceAsync());
        NewChunk[] half = [new() { Text = "gamma gamma", Vectors = [SearchBox.Unit([1, 0])], Terms = null! }];
        await box.AddAsync(place, "half.md", "{}", half, isLast: false);
        foreach (var workspace in new[] { place, clean })
        {
            await box.AddAsync(workspace, "whole.md", ("gamma rays", [1, 0.5f]));
            await box.AddAsync(workspace, "other.md", ("nothing of the kind", [0.5f, 1]));
        }

        var (hits, expected) = (await box.SearchAsync(place, new(["gamma"]) { Trace = true }), await box.SearchAsync(clean, new(["gamma"]) { Trace = true }));

        Assert.Equal(["whole.md", "other.md"], hits.Hits.Select(static hit => hit.File.Name));
        Assert.Equal(expected.Trace!.Candidates[0].Lexical, hits.Trace!.Candidates[0].Lexical);
        Assert.Equal(expected.Trace.Candidates[0].Fused, hits.Trace.Candidates[0].Fused);
    }

    [Fact]
    public async Task A_threshold_Drops_what_is_far_but_not_what_an_identifier_names()
    {
        var place = await box.AddWorkspaceAsync();
        await box.AddAsync(place, "near.md", ("close to it", [1, 0.2f]));
        await box.AddAsync(place, "far.md", ("something else", [-0.1f, 1]));
        await box.AddAsync(place, "code.md", ("see ERR_MODEL_4041 there", [-1, 0.3f]));

        var near = await box.SearchAsync(place, new(["what is it"]) { Threshold = 0.25 });
        var named = await box.SearchAsync(place, new(["ERR_MODEL_4041"]) { Threshold = 0.25 });
        box.Embedder.Vectors["nothing"] = [0, -1];
        var none = await box.SearchAsync(place, new(["nothing"]) { Threshold = 0.25 });

        Assert.Equal(["near.md"], near.Hits.Select(static hit => hit.File.Name));
        Assert.Contains(named.Hits, static hit => hit is { File.Name: "code.md", Score: 1 });
        Assert.DoesNotContain(named.Hits, static hit => hit.File.Name == "far.md");
        Assert.Empty(none.Hits);
    }

    /// <summary>The parts stand in many chunks, and their vectors are as near.</summary>
    [Theory]
    [InlineData("JobQueue_Limit")]
    [InlineData("job-queue")]
    [InlineData("where is jobQueueLimit set")]
    public async Task An_identifier_Finds_the_chunk_that_has_it(string query)
    {
        var place = await box.AddWorkspaceAsync();
        for (var i = 0; i < 30; i++) await box.AddAsync(place, $"{i}.md", ($"a job, a queue, a limit; the queue of jobs, set {i}", [1, 0.01f * i]));
        await box.AddAsync(place, "one.md", ("Among other things jobqueue_limit, or job-queue and jobQueueLimit, in a longer text", [1, 0.3f]));

        Assert.Equal("one.md", (await box.SearchAsync(place, new([query]))).Hits[0].File.Name);
    }

    [Theory]
    [InlineData("gone", "nothing serves the embedding model 'test-embed' now")]
    [InlineData("failing", "the embedding model 'test-embed' failed: out of memory")]
    [InlineData("foreign", "the embedding model 'test-embed' does not know most words of the query")]
    [InlineData("resized", "the embedding model 'test-embed' gives 3 numbers, and the workspace has 2; embed it anew")]
    public async Task A_query_without_a_vector_Is_ranked_by_its_words_and_the_outcome_says_why(string how, string reason)
    {
        var place = await box.AddWorkspaceAsync();
        await box.AddAsync(place, "a.md", ("zebra zebra horse", [1, 0]));
        await box.AddAsync(place, "b.md", ("zebra and many other animals of the savanna", [1, 0]));
        await box.AddAsync(place, "c.md", ("nothing of it", [1, 0]));
        if (how == "gone") box.Models.Clear();
        if (how == "failing") box.Embedder.Error = new(VectorErrorKind.Failed, "out of memory");
        if (how == "foreign") box.Embedder.Unknown.Add("zebra");
        if (how == "resized") box.Models[SearchBox.Model] = new ScriptedEmbedder(SearchBox.Model, 3);

        var outcome = await box.SearchAsync(place, new(["zebra"]) { Threshold = 0.99, Trace = true });

        Assert.Equal(["a.md", "b.md"], outcome.Hits.Select(static hit => hit.File.Name));
        Assert.Equal(1, outcome.Hits[0].Score);
        Assert.InRange(outcome.Hits[1].Score, 0.01, 0.99);
        Assert.Equal(reason, outcome.LexicalOnly);
        Assert.Contains(reason, outcome.Trace!.Notes);
        Assert.Null(outcome.Trace.Candidates[0].Cosine);
    }

    [Fact]
    public async Task A_query_with_few_unknown_words_Has_its_vector()
    {
        var place = await box.AddWorkspaceAsync();
        await box.AddAsync(place, "a.md", ("words", [1, 0]));
        box.Embedder.Unknown.Add("xyz");

        Assert.Null((await box.SearchAsync(place, new(["a b c xyz"]))).LexicalOnly);
        Assert.NotNull((await box.SearchAsync(place, new(["a xyz"]))).LexicalOnly);
    }

    [Fact]
    public async Task Workspaces_without_vectors_Are_ranked_by_words()
    {
        var (with, without) = (await box.AddWorkspaceAsync(), await box.AddWorkspaceAsync());
        var bare = (await box.Store.WorkspaceAsync(without, default))!;
        await box.Store.SaveAsync(bare with { Vectors = [] }, default);
        await box.AddAsync(with, "a.md", ("zebra in the first", [1, 0]));
        await box.AddAsync(without, "b.md", "{}", [new() { Text = "zebra in the second", Vectors = [], Terms = null! }]);

        var (alone, _) = await box.TryAsync([without], new(["zebra"]));
        var (both, _) = await box.TryAsync([with, without], new(["zebra"]));

        Assert.Equal(["b.md"], alone!.Hits.Select(static hit => hit.File.Name));
        Assert.Null(alone.LexicalOnly);
        Assert.Equal(2, both!.Hits.Count);
        Assert.Equal("the workspace 'w2' has no vectors", both.LexicalOnly);
    }

    [Fact]
    public async Task A_busy_model_and_an_empty_query_Are_errors()
    {
        var place = await box.AddWorkspaceAsync();
        await box.AddAsync(place, "a.md", ("words", [1, 0]));
        box.Embedder.Error = new(VectorErrorKind.Overloaded, "512 texts are waiting");

        var (_, busy) = await box.TryAsync([place], new(["words"]));
        var (_, empty) = await box.TryAsync([place], new([" "]));

        Assert.Equal((ProxyErrorKind.QueueFull, "512 texts are waiting", (TimeSpan?)TimeSpan.FromSeconds(1)), (busy!.Kind, busy.Message, busy.RetryAfter));
        Assert.Equal((ProxyErrorKind.InvalidRequest, "query"), (empty!.Kind, empty.Param));
        Assert.Equal(0, box.Store.Open);
    }

    [Fact]
    public async Task A_reranker_Has_the_last_word()
    {
        var place = await box.AddWorkspaceAsync();
        await box.AddAsync(place, "near.md", ("apples", [1, 0]));
        await box.AddAsync(place, "far.md", ("pears", [0, 1]));
        var reranker = new ScriptedReranker("judge") { Scores = { ["pears"] = 0.9f, ["apples"] = 0.1f } };
        (box.Models["judge"], box.Reranker) = (reranker, "judge");

        var reranked = await box.SearchAsync(place, new(["apples"]) { Trace = true, Threshold = 0.05 });
        var cut = await box.SearchAsync(place, new(["apples"]) { Threshold = 0.5 });
        var without = await box.SearchAsync(place, new(["apples"]) { Rerank = false });

        Assert.Equal([("far.md", 0.9), ("near.md", 0.1)], reranked.Hits.Select(static hit => (hit.File.Name, Math.Round(hit.Score, 3))));
        Assert.Equal<(int?, int?)>((1, 2), (reranked.Trace!.Candidates[0].RerankRank, reranked.Trace.Candidates[0].FusedRank));
        Assert.Equal(["far.md"], cut.Hits.Select(static hit => hit.File.Name));
        Assert.Equal("near.md", without.Hits[0].File.Name);
        Assert.Equal(2, reranker.Calls.Count);
        Assert.Contains("near. apples", reranker.Calls[0].Documents);
    }

    [Theory]
    [InlineData("failing", "the reranker 'judge' failed: it is away")]
    [InlineData("gone", "nothing serves the reranker now")]
    [InlineData("cosine", "'test-embed' embeds and does not rerank, so it was left out")]
    [InlineData("none", "no reranker is configured")]
    public async Task A_search_without_its_reranker_Goes_on_and_says_so(string how, string note)
    {
        var place = await box.AddWorkspaceAsync();
        await box.AddAsync(place, "near.md", ("apples", [1, 0]));
        await box.AddAsync(place, "far.md", ("pears", [0, 1]));
        box.Reranker = how == "none" ? null : "judge";
        if (how == "failing") box.Models["judge"] = new ScriptedReranker("judge") { Error = new(VectorErrorKind.Failed, "it is away") };
        if (how == "cosine") box.Models["judge"] = new CosineReranker(box.Embedder);

        var outcome = await box.SearchAsync(place, new(["apples"]) { Trace = true, Rerank = true });

        Assert.Equal(["near.md", "far.md"], outcome.Hits.Select(static hit => hit.File.Name));
        Assert.Equal([note], outcome.Trace!.Notes);
        Assert.Null(outcome.Trace.Candidates[0].Rerank);
    }

    [Fact]
    public async Task Passages_that_say_the_same_Are_returned_once()
    {
        const string Text = "The proxy listens on this port unless the server section of the file says otherwise and then it listens there and nowhere else "
            + "at all so that no other program on the machine can take the address away while it runs, as the operator wants it at night";
        var place = await box.AddWorkspaceAsync();
        await box.AddAsync(place, "a.md", (Text + ".", [1, 0]));
        await box.AddAsync(place, "copy.md", (Text + "!", [1, 0.01f]));
        await box.AddAsync(place, "other.md", (Text + ": 8080", [1, 0.02f]));
        await box.AddAsync(place, "not.md", (Text.Replace("it listens", "it never listens", StringComparison.Ordinal), [1, 0.03f]));

        var joined = await box.SearchAsync(place, new(["port"]) { Join = true });
        var all = await box.SearchAsync(place, new(["port"]));

        Assert.Equal(3, joined.Hits.Count);
        Assert.Single(joined.Hits, static hit => hit.File.Name is "a.md" or "copy.md");
        Assert.Equal(4, all.Hits.Count);
    }

    [Fact]
    public async Task Hits_that_follow_each_other_Are_one_passage_with_the_overlap_once()
    {
        var place = await box.AddWorkspaceAsync();
        NewChunk[] chunks =
        [
            Chunk("One two. Three four.", 0, 20, [1, 0]), Chunk("Three four. Five six.", 9, 30, [1, 0.1f]), Chunk("Between them.", 32, 45, [0, 1]),
            Chunk("Seven eight.", 47, 59, [1, 0.2f]), Chunk("Far away.", 61, 70, [0, 1]), Chunk("Farther.", 72, 80, [0, 1]), Chunk("Nine.", 82, 87, [1, 0.3f]),
        ];
        await box.AddAsync(place, "book.md", "{}", chunks);

        var outcome = await box.SearchAsync(place, new(["numbers"]) { Join = true, Threshold = 0.5 });

        Assert.Equal(["One two. Three four. Five six.\n\nBetween them.\n\nSeven eight.", "Nine."], outcome.Hits.Select(static hit => hit.Text));
        Assert.Equal([0, 1, 2, 3], outcome.Hits[0].Chunks.Select(static chunk => chunk.Number));
        Assert.Equal(1, outcome.Hits[0].Score, 0.001);

        static NewChunk Chunk(string text, int start, int end, float[] vector) =>
            new() { Text = text, Start = start, End = end, Vectors = [SearchBox.Unit(vector)], Terms = null! };
    }

    [Fact]
    public async Task A_slow_first_pass_Leaves_the_feedback_out()
    {
        var slow = new SlowAnalyzer();
        var late = new SearchBox(slow);
        slow.Box = late;
        var place = await late.AddWorkspaceAsync();
        await late.AddAsync(place, "a.md", ("words", [1, 0]));

        var quick = await late.SearchAsync(place, new(["words"]) { Trace = true });
        slow.Takes = TimeSpan.FromMilliseconds(80);
        var outcome = await late.SearchAsync(place, new(["words"]) { Trace = true });

        Assert.Contains(quick.Trace!.Stages, static stage => stage.Stage == "feedback");
        Assert.DoesNotContain(outcome.Trace!.Stages, static stage => stage.Stage == "feedback");
        Assert.Equal(["the first pass took 80 ms, so there was no feedback"], outcome.Trace.Notes);
        Assert.Single(outcome.Hits);
    }

    [Fact]
    public async Task A_trace_Shows_every_stage()
    {
        var place = await box.AddWorkspaceAsync();
        await box.AddAsync(place, "a.md", ("both words and vector", [1, 0]));
        await box.AddAsync(place, "b.md", ("vector alone", [1, 1]));
        box.Embedder.Vectors["words"] = [1, 0];

        var trace = (await box.SearchAsync(place, new(["words"]) { Trace = true })).Trace!;

        Assert.Equal(["open", "words", "embed", "vectors", "feedback", "load", "select"], trace.Stages.Select(static stage => stage.Stage));
        Assert.Equal<(string, int, int?, int?, int?, int?)>(
            ("a.md", 0, 1, 1, 1, 1),
            (trace.Candidates[0].FileName, trace.Candidates[0].Chunk, trace.Candidates[0].LexicalRank, trace.Candidates[0].DenseRank,
                trace.Candidates[0].FirstPassRank, trace.Candidates[0].FusedRank));
        Assert.Equal<(int?, int?)>((null, 2), (trace.Candidates[1].LexicalRank, trace.Candidates[1].DenseRank));
        Assert.Equal(0.7071, trace.Candidates[1].Cosine!.Value, 0.001);
        Assert.Empty(trace.Notes);
    }

    [Fact]
    public async Task A_cancelled_search_Ends_at_once_and_closes_what_it_opened()
    {
        var place = await box.AddWorkspaceAsync();
        await box.AddAsync(place, "a.md", ("words", [1, 0]));
        using var leave = new CancellationTokenSource();
        box.Embedder.Before = async cancellation =>
        {
            await leave.CancelAsync();
            await Task.Delay(Timeout.Infinite, cancellation);
        };

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => box.TryAsync([place], new(["words"]), leave.Token));

        Assert.Equal(0, box.Store.Open);
    }

    [Fact]
    public async Task Nothing_to_search_Is_no_error()
    {
        var empty = await box.AddWorkspaceAsync();

        Assert.Empty((await box.SearchAsync(empty, new(["words"]) { Trace = true })).Hits);
        Assert.Empty(box.Embedder.Calls);
        Assert.Equal(0, box.Store.Open);
    }

    /// <summary>Two models: each finds in its own set, and they share the weight of vectors.</summary>
    [Fact]
    public async Task Two_models_Share_the_weight_of_vectors()
    {
        var second = new ScriptedEmbedder("second", 2) { Vectors = { ["q"] = [0, 1] } };
        box.Models["second"] = second;
        var place = await box.AddWorkspaceAsync(new("1", SearchBox.Model, 2), new("2", "second", 2));
        await box.AddAsync(place, "first.md", "{}", [Both([1, 0], [1, 0])]);
        await box.AddAsync(place, "both.md", "{}", [Both([1, 0.2f], [0.2f, 1])]);
        await box.AddAsync(place, "none.md", "{}", [Both([-1, 0], [0, -1])]);

        var request = new SearchRequest(["q"]) { LexicalWeight = 0, DenseWeight = 1 };
        var outcome = await box.SearchAsync(place, request);
        box.Models.Remove("second");
        var one = await box.SearchAsync(place, request);

        Assert.Equal("both.md", outcome.Hits[0].File.Name);
        Assert.Equal("first.md", one.Hits[0].File.Name);
        Assert.Null(one.LexicalOnly);

        static NewChunk Both(float[] one, float[] two) => new() { Text = "same text", Vectors = [SearchBox.Unit(one), SearchBox.Unit(two)], Terms = null! };
    }

    private static AttributeFilter Language(string value)
    {
        Assert.Null(AttributeFilter.Read(JsonElement.Parse($$"""{"type":"eq","key":"language","value":"{{value}}"}"""), out var filter));
        return filter!;
    }

    private sealed class SlowAnalyzer : ITextAnalyzer
    {
        private readonly TextAnalyzer inner = new();

        public SearchBox? Box { get; set; }
        public TimeSpan Takes { get; set; }
        public int Version => 1;

        public List<string> Terms(string text)
        {
            if (Takes > TimeSpan.Zero) Box!.Time.Advance(Takes);
            return inner.Terms(text);
        }
    }
}
