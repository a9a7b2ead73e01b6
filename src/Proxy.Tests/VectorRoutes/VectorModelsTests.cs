using System.Globalization;
using System.Numerics.Tensors;
using System.Text;
using System.Text.Json;
using Proxy.Backends;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Config;
using Proxy.Dialects.Embeddings;
using Proxy.Dialects.OpenAiChat;
using Proxy.Tests.Backends;
using Proxy.Tests.Inference;
using Proxy.Transport;
using Proxy.VectorRoutes;
using Proxy.Vectors;

namespace Proxy.Tests.VectorRoutes;

/// <summary>Models that embed and rerank, found by name. A caller uses a model of this process and one at a host in the same way.</summary>
public sealed class VectorModelsTests
{
    private static readonly string[] Texts = ["a text", "another one, which is longer", "", "日本語"];

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("openai", "/v1/embeddings", 24)]
    [InlineData("ollama", "/api/embed", 24)]
    [InlineData("tei", "/embed", null)]
    public async Task Host_and_this_process_Give_the_same_vectors(string family, string path, int? tokens)
    {
        using var house = NewHouse(family);
        var here = Models(house).Embedder("all-minilm-q4")!;
        var (own, _) = await here.EmbedAsync(Request(Texts), Cancellation);
        house.Plays("a", Script.Json(Answer(family, own!, tokens ?? 0)));

        var (vectors, error) = await Models(house).Embedder("m")!.EmbedAsync(Request(Texts), Cancellation);

        Assert.Null(error);
        Assert.Equal((own!.Count, own.Dimensions, tokens), (vectors!.Count, vectors.Dimensions, vectors.TokensOfAll));
        Assert.All(Enumerable.Range(0, own.Count), i => Assert.True(TensorPrimitives.Distance(own[i], vectors[i]) < 1e-6, Texts[i]));
        var sent = Assert.Single(house.Hosts["a"].Exchanges);
        Assert.Equal(path, sent.Request.Path);
        Assert.Equal(Texts, JsonElement.Parse(sent.Sent).GetProperty(family is "tei" ? "inputs" : "input").EnumerateArray().Select(text => text.GetString()!));
        Assert.NotSame(here, Models(house).Embedder("m"));
    }

    [Theory]
    [InlineData("openai", "/v1/rerank", true)]
    [InlineData("openai", "/v1/rerank", false)]
    [InlineData("tei", "/rerank", true)]
    [InlineData("tei", "/rerank", false)]
    public async Task Host_and_this_process_Give_the_same_scores(string family, string path, bool raw)
    {
        using var house = NewHouse(family);
        var asked = new RerankRequest("what is a panda?", ["hi", "The giant panda is a bear.", "a bear"]) { RawScores = raw };
        var (own, _) = await Models(house).Reranker("tiny-wordpiece-rerank")!.ScoreAsync(asked, Cancellation);
        // TEI is told which kind of scores is wanted; the others answer with logits, best first.
        var (said, _) = await TestModels.Rerank.ScoreAsync(asked with { RawScores = raw || family is "openai" }, Cancellation);
        var results = said!.Scores.Index().OrderByDescending(result => result.Item)
            .Select(result => string.Create(CultureInfo.InvariantCulture,
                $$"""{"index":{{result.Index}},"{{(family is "tei" ? "score" : "relevance_score")}}":{{result.Item:R}}}"""));
        house.Plays("a", Script.Json(family is "tei"
            ? $"[{string.Join(',', results)}]"
            : $$$"""{"results":[{{{string.Join(',', results)}}}],"usage":{"prompt_tokens":9}}"""));

        var (scores, error) = await Models(house).Reranker("m")!.ScoreAsync(asked, Cancellation);

        Assert.Null(error);
        Assert.Equal(own!.Scores.Count, scores!.Scores.Count);
        Assert.All(own.Scores.Zip(scores.Scores), pair => Assert.Equal(pair.First, pair.Second, 1e-5f));
        Assert.Equal(family is "tei" ? 0 : 9, scores.Tokens);
        Assert.Equal(path, Assert.Single(house.Hosts["a"].Exchanges).Request.Path);
    }

    [Fact]
    public async Task Host_takes_only_so_many_They_are_sent_in_parts()
    {
        using var house = NewHouse("tei", most: 2);
        house.Plays("a", Script.Json("[[1,0],[2,0]]"), Script.Json("[[3,0],[4,0]]"), Script.Json("[[5,0]]"));

        var (vectors, error) = await Models(house).Embedder("m")!.EmbedAsync(Request("1", "2", "3", "4", "5"), Cancellation);

        Assert.Null(error);
        Assert.Equal(3, house.Hosts["a"].Exchanges.Count);
        Assert.Equal(["1", "2", "3", "4", "5"],
            house.Hosts["a"].Exchanges.SelectMany(sent => JsonElement.Parse(sent.Sent).GetProperty("inputs").EnumerateArray())
                .Select(text => text.GetString()));
        Assert.Equal([1f, 2, 3, 4, 5], Enumerable.Range(0, 5).Select(i => vectors![i][0]));
    }

    [Fact]
    public async Task Host_takes_only_so_many_documents_Indexes_are_the_callers()
    {
        using var house = NewHouse("tei", most: 2);
        house.Plays("a", Script.Json("""[{"index":1,"score":0.9},{"index":0,"score":0.1}]"""), Script.Json("""[{"index":0,"score":0.5}]"""));

        var (scores, error) = await Models(house).Reranker("m")!.ScoreAsync(new("q", ["a", "b", "c"]), Cancellation);

        Assert.Null(error);
        Assert.Equal([0.1f, 0.9f, 0.5f], scores!.Scores);
    }

    [Theory]
    [InlineData(2, null)]
    [InlineData(3, nameof(VectorErrorKind.InvalidDimensions))]
    public async Task Dimensions_are_asked_of_a_host_that_ignores_them_Vectors_are_cut_as_here(int dimensions, string? refused)
    {
        using var house = NewHouse("ollama").Plays("a", Script.Json("""{"embeddings":[[3,4],[4,3]]}"""));

        var (vectors, error) =
            await Models(house).Embedder("m")!.EmbedAsync(Request("a", "b") with { Dimensions = dimensions, Normalize = true }, Cancellation);

        Assert.Equal(refused, error?.Kind.ToString());
        if (refused is null) Assert.Equal([0.6f, 0.8f, 0.8f, 0.6f], vectors!.Values.ToArray());
    }

    [Fact]
    public async Task One_dimension_is_asked_of_a_host_that_ignores_it_Vectors_are_cut_and_normalised()
    {
        using var house = NewHouse("ollama").Plays("a", Script.Json("""{"embeddings":[[3,4],[4,3]],"prompt_eval_count":4}"""));

        var (vectors, error) = await Models(house).Embedder("m")!.EmbedAsync(Request("a", "b") with { Dimensions = 1 }, Cancellation);

        Assert.Null(error);
        Assert.Equal((1, 4), (vectors!.Dimensions, vectors.TokensOfAll));
        Assert.Equal([1f, 1f], vectors.Values.ToArray());
    }

    [Theory]
    [InlineData(413, "input is too long", nameof(VectorErrorKind.TooLong))]
    [InlineData(400, "no such thing", nameof(VectorErrorKind.InvalidInput))]
    [InlineData(429, "later", nameof(VectorErrorKind.Overloaded))]
    [InlineData(503, "later", nameof(VectorErrorKind.Overloaded))]
    [InlineData(500, "broken", nameof(VectorErrorKind.Failed))]
    [InlineData(200, null, nameof(VectorErrorKind.Failed))]
    public async Task Host_refuses_or_answers_nonsense_The_error_is_a_value(int status, string? message, string kind)
    {
        using var house = NewHouse("openai");
        for (var i = 0; i < 2; i++)
            house.Plays("a", Script.Json(message is null ? """{"object":"list"}""" : $$$"""{"error":{"message":"{{{message}}}"}}""", status));

        var (vectors, embedError) = await Models(house).Embedder("m")!.EmbedAsync(Request("a"), Cancellation);
        if (kind is nameof(VectorErrorKind.Overloaded)) house.Time.Advance(TimeSpan.FromMinutes(5)); // it is left alone until then
        var (scores, rerankError) = await Models(house).Reranker("m")!.ScoreAsync(new("q", ["a"]), Cancellation);

        Assert.Null(vectors);
        Assert.Null(scores);
        Assert.Equal((kind, kind), (embedError!.Kind.ToString(), rerankError!.Kind.ToString()));
        Assert.Contains(message ?? "cannot be read", embedError.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Host_cannot_do_it_The_error_is_a_value()
    {
        using var house = NewHouse("anthropic");
        using var others = NewHouse("ollama");

        var (_, embeds) = await Models(house).Embedder("m")!.EmbedAsync(Request("a"), Cancellation);
        var (_, reranks) = await Models(others).Reranker("m")!.ScoreAsync(new("q", ["a"]), Cancellation);
        var (_, unsayable) = await Models(others).Embedder("m")!.EmbedAsync(Request("a") with { PromptName = "query" }, Cancellation);
        var (_, perToken) = await Models(others).Embedder("m")!.EmbedTokensAsync(Request("a"), Cancellation);
        var (_, tokens) = await Models(others).Embedder("m")!.TokenizeAsync(["a"], special: true, Cancellation);

        Assert.Equal(
            [VectorErrorKind.WrongKind, VectorErrorKind.WrongKind, VectorErrorKind.UnknownPrompt, VectorErrorKind.WrongKind, VectorErrorKind.WrongKind],
            [embeds!.Kind, reranks!.Kind, unsayable!.Kind, perToken!.Kind, tokens!.Kind]);
        Assert.Empty(others.Hosts["a"].Exchanges);
    }

    [Fact]
    public async Task Caller_gives_up_The_host_is_cancelled()
    {
        using var house = NewHouse("openai").Plays("a", Script.NoHead);
        using var cancelling = new CancellationTokenSource();
        var pending = Models(house).Embedder("m")!.EmbedAsync(Request("a"), cancelling.Token).AsTask();

        await cancelling.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => pending);
        Assert.True(house.Hosts["a"].Exchanges[0].WasCancelled);
    }

    [Fact]
    public async Task Nothing_is_asked_No_host_is()
    {
        using var house = NewHouse("openai").Plays("a", Script.Json("{}"), Script.Json("{}"));

        var (vectors, _) = await Models(house).Embedder("m")!.EmbedAsync(Request(), Cancellation);
        var (scores, _) = await Models(house).Reranker("m")!.ScoreAsync(new("q", []), Cancellation);

        Assert.Equal((0, 0), (vectors!.Count, scores!.Scores.Count));
        Assert.Empty(house.Hosts["a"].Exchanges);
    }

    [Fact]
    public async Task Names_Are_resolved_as_a_call_s_are()
    {
        using var house = NewHouse("openai");
        var models = Models(house);

        Assert.Same(TestModels.Bundled, models.Embedder("mine"));
        Assert.Same(TestModels.Rerank, models.Reranker("tiny-wordpiece-rerank"));
        Assert.Null(models.Embedder("tiny-wordpiece-rerank"));
        Assert.Null(models.Embedder("unknown"));
        Assert.Null(models.Reranker("unknown"));
        var (scores, _) = await models.Reranker("mine")!.ScoreAsync(new("a text", ["a text", "something else"]), Cancellation);
        Assert.Equal(RerankMethod.Cosine, scores!.Method);
        Assert.Equal(("m", VectorModelKind.Embed, 512),
            (models.Embedder("m")!.Info.Name, models.Embedder("m")!.Info.Kind, models.Embedder("m")!.Info.MaxInputLength));
    }

    [Fact]
    public async Task Host_Is_told_whose_call_it_is()
    {
        using var house = NewHouse("ollama").Plays("a", Script.Json("""{"embeddings":[[3,4]]}"""));

        await Models(house).Embedder("m")!.EmbedAsync(Request("a"), Cancellation);

        Assert.Contains(house.Hosts["a"].Exchanges[0].Request.Headers, header => header.Value == "TRACE");
    }

    /// <summary>A host of the family, which serves <c>m</c>; and models of this process.</summary>
    private static House NewHouse(string family, int? most = null)
    {
        var house = new House(new ProxyConfig
        {
            Backends = [House.At("a", "m") with { Dialects = [DialectNames.Parse(family)!.Value], Slots = 1 }],
            Aliases = new Dictionary<string, string> { ["mine"] = "all-minilm-q4" },
        });
        house.Directory.Embedders = new EmbedderTable([TestModels.Bundled, TestModels.Rerank]);
        house["a"].State.Report = new(
            [], [new("m", 512, null, most is null ? null : JsonElement.Parse($$"""{"model_type":{},"max_client_batch_size":{{most}}}"""))], null, null);
        house.Directory.Refresh();
        return house;
    }

    private static VectorModels Models(House house) =>
        new(new(house.Directory, house.Dispatcher, new OpenAiChatBackendDialect(), house.Log), new CallInfo("TRACE", "C", "me"));

    private static EmbedRequest Request(params string[] texts) => new([.. texts.Select(text => new EmbedInput(text))]) { Truncate = true };

    /// <summary>What a host answers that has these vectors.</summary>
    private static string Answer(string family, VectorBatch vectors, int tokens)
    {
        EmbeddingClientDialect dialect = family switch
        {
            "openai" => new OpenAiEmbeddingsClientDialect(),
            "ollama" => new OllamaEmbedClientDialect(older: false),
            _ => new TeiEmbedClientDialect(tokenByToken: false),
        };
        using var body = new PooledBody();
        dialect.Write(new(new([])), new(vectors, tokens), new("m", TimeSpan.Zero), body);
        return Encoding.UTF8.GetString(body.Span);
    }
}
