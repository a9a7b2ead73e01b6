using System.Text;
using System.Text.Json;
using Proxy.Backends;
using Proxy.Chat;
using Proxy.Config;
using Proxy.Dialects;
using Proxy.Dialects.Embeddings;
using Proxy.Dialects.OpenAiChat;
using Proxy.Dialects.Rerank;
using Proxy.Tests.Backends;
using Proxy.Transport;
using Proxy.VectorRoutes;
using Proxy.Vectors;

namespace Proxy.Tests.VectorRoutes;

/// <summary>The routes of vector calls answer with values: what is written to the client, and in which form, is not theirs to decide.</summary>
public sealed class VectorRouteTests
{
    private const string Floats = """{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.6,0.8]}],"model":"m","usage":{"prompt_tokens":3,"total_tokens":3}}""";

    [Fact]
    public async Task Host_of_the_clients_dialect_Its_bytes_are_the_answer()
    {
        using var house = NewHouse("openai", Script.Json(Floats));

        var answer = Assert.IsType<VectorAnswer.Verbatim>(await EmbedAsync(house, """{ "model":"m","input":"a" }"""));

        Assert.Equal(Floats, Encoding.UTF8.GetString(answer.Document!.Span));
        Assert.Equal(("a", "m", 200), (answer.Reply.Backend, answer.Reply.ServedModel, answer.Reply.Status));
        Assert.Equal(("""{ "model":"m","input":"a" }""", 0), (house.Hosts["a"].Exchanges[0].Sent, house.Hosts["a"].Exchanges[0].Disposals));
        Assert.Equal(0, house["a"].State.InFlight); // the host has said all it has to say
        answer.Reply.Dispose();
        answer.Document.Dispose();
    }

    [Theory]
    [InlineData("openai", """{"model":"m","input":"a","encoding_format":"base64"}""", Floats)] // asked for and ignored
    [InlineData("ollama", """{"model":"m","input":"a"}""", """{"embeddings":[[0.6,0.8]],"prompt_eval_count":3}""")]
    public async Task Host_of_another_form_Vectors_are_the_answer(string family, string body, string said)
    {
        using var house = NewHouse(family, Script.Json(said));

        var answer = Assert.IsType<VectorAnswer.Vectors>(await EmbedAsync(house, body));

        Assert.Equal([0.6f, 0.8f], answer.Reply.Vectors.Values.ToArray());
        Assert.Equal(("a", "m", 3), (answer.Backend, answer.Served, answer.Reply.Tokens));
        AssertOver(house);
    }

    [Theory]
    [InlineData("ollama", "{}", 502)]
    [InlineData("ollama", """{"embeddings":[[1,2],[3,4]]}""", 502)]
    [InlineData("ollama", """{"error":"too long"}""", 400)]
    [InlineData("openai", """{"object":"list","data":[{"embedding":[1,2]},{"embedding":[3,4]}]}""", 502)]
    public async Task Host_has_no_answer_The_refusal_is_a_value_and_says_who_refused(string family, string said, int status)
    {
        using var house = NewHouse(family, Script.Json(said, status is 400 ? 400 : 200));

        var answer = Assert.IsType<VectorAnswer.Refused>(await EmbedAsync(house, """{"model":"m","input":"a","encoding_format":"base64"}"""));

        Assert.Equal((status, "a", "m"), (answer.Error.Status, answer.Backend, answer.Served));
        AssertOver(house);
    }

    [Fact]
    public async Task Nobody_is_there_The_refusal_is_a_value()
    {
        using var house = NewHouse("ollama", Script.None(UpstreamOutcome.ConnectFailed, "refused"));

        var answer = Assert.IsType<VectorAnswer.Refused>(await EmbedAsync(house, """{"model":"m","input":"a"}"""));

        Assert.Equal(ProxyErrorKind.HostFailed, answer.Error.Kind);
        Assert.Null(answer.Served);
    }

    [Fact]
    public async Task Model_of_this_process_Vectors_are_the_answer()
    {
        using var house = NewHouse("openai");
        house.Directory.Embedders = new EmbedderTable([new Proxy.Tests.Http.FakeVectorModel(new("mini", VectorModelKind.Embed) { MaxInputLength = 256, Dimensions = 2 })]);
        house.Directory.Refresh();

        var answer = Assert.IsType<VectorAnswer.Vectors>(await EmbedAsync(house, """{"model":"mini","input":"a"}"""));

        Assert.Equal((null, "mini", 3), (answer.Backend, answer.Served, answer.Reply.Tokens));
        Assert.Equal([0f, 1f], answer.Reply.Vectors.Values.ToArray());
    }

    [Theory]
    [InlineData("""{"results":[{"index":1,"relevance_score":0.9},{"index":0,"relevance_score":0.1}]}""", null)] // as asked
    [InlineData("""{"results":[{"index":0,"relevance_score":0.1},{"index":1,"relevance_score":0.9}]}""", "1 0")] // in the order of the request
    [InlineData("""{"results":[{"index":0,"relevance_score":0.1},{"index":7,"relevance_score":0.9}]}""", "refused")]
    public async Task Ranking_in_the_clients_dialect_Stays_if_it_is_as_asked(string said, string? order)
    {
        using var house = NewHouse("openai", Script.Json(said));
        var route = new RerankRoute(new JinaRerankClientDialect(RerankFlavour.Both), Hosts(house));

        var answer = await route.AnswerAsync(Call(house, "/v1/rerank", """{"model":"m","query":"q","documents":["a","b"]}"""), TestContext.Current.CancellationToken);

        if (order is null)
        {
            var verbatim = Assert.IsType<VectorAnswer.Verbatim>(answer);
            Assert.Equal(said, Encoding.UTF8.GetString(verbatim.Document!.Span));
            verbatim.Reply.Dispose();
            verbatim.Document.Dispose();
            return;
        }

        Assert.Equal(order, answer is VectorAnswer.Scores scores ? string.Join(' ', scores.Reply.Results.Select(result => result.Index)) : Assert.IsType<VectorAnswer.Refused>(answer).Error.Status == 502 ? "refused" : "?");
        AssertOver(house);
    }

    [Theory]
    [InlineData("/embed_all", """{"inputs":["a","b","c"],"truncate":true}""", """["a","b"]""", """["c"]""")]
    [InlineData("/embed_all", """{"inputs":[[1],[2,3],[4]]}""", "[[1],[2,3]]", "[[4]]")]
    [InlineData("/embed_all", """{"inputs":[1,2,3]}""", "[1,2,3]", null)] // the token ids of one text
    [InlineData("/tokenize", """{"inputs":["a","b","c"]}""", """["a","b"]""", """["c"]""")]
    public async Task TEIs_lists_are_too_long_for_a_host_Parts_are_joined(string path, string body, string first, string? second)
    {
        using var house = NewHouse("tei", Script.Json(second is null ? "[[9]]" : "[ [1], [2] ]"), Script.Json("[[3]]"));
        house["a"].State.Report = new([], [new("m", null, null, JsonElement.Parse("""{"max_client_batch_size":2}"""))], null, null);
        house.Directory.Refresh();
        IVectorRoute route = path is "/embed_all" ? new EmbeddingRoute(new TeiEmbedClientDialect(tokenByToken: true), Hosts(house)) : new TeiRoute(path, Hosts(house));

        var answer = await route.AnswerAsync(Call(house, path, body), TestContext.Current.CancellationToken);

        Assert.Equal(second is null ? [first] : [first, second], house.Hosts["a"].Exchanges.Select(sent => JsonElement.Parse(sent.Sent).GetProperty("inputs").GetRawText()));
        Assert.All(house.Hosts["a"].Exchanges, sent => Assert.Equal(path, sent.Request.Path));
        if (second is null)
        {
            Assert.IsType<VectorAnswer.Verbatim>(answer).Reply.Dispose();
            return;
        }

        var joined = Assert.IsType<VectorAnswer.Joined>(answer);
        Assert.Equal(("[ [1], [2] ,[3]]", "a", "m"), (Encoding.UTF8.GetString(joined.List.Span), joined.Backend, joined.Served));
        joined.List.Dispose();
        AssertOver(house);
    }

    [Theory]
    [InlineData("proxy-0123456789abcdef", """{"inputs":"a"}""", """{"model":"m","inputs":"a"}""")]
    [InlineData("proxy-0123456789abcdef", "{ }", """{"model":"m" }""")]
    [InlineData(null, """{"inputs":"a"}""", """{"inputs":"a"}""")]
    public async Task Call_names_no_model_Another_proxy_is_told_which_one_is_meant(string? proxyId, string body, string sent)
    {
        using var house = NewHouse("tei", Script.Json("[]"));
        house["a"].State.Report = new([], [new("m", null, null, null)], null, null) { ProxyId = proxyId };
        house.Directory.Refresh();

        var answer = await new TeiRoute("/tokenize", Hosts(house)).AnswerAsync(Call(house, "/tokenize", body), TestContext.Current.CancellationToken);

        Assert.IsType<VectorAnswer.Verbatim>(answer).Reply.Dispose();
        Assert.Equal(sent, house.Hosts["a"].Exchanges[0].Sent);
    }

    private static House NewHouse(string family, params Script[] scripts)
        => new House(House.At("a", "m") with { Dialects = [DialectNames.Parse(family)!.Value], Slots = 1 }).Plays("a", scripts);

    private static VectorHosts Hosts(House house) => new(house.Directory, house.Dispatcher, new OpenAiChatBackendDialect(), house.Log);

    private static ValueTask<VectorAnswer> EmbedAsync(House house, string body)
        => new EmbeddingRoute(new OpenAiEmbeddingsClientDialect(), Hosts(house)).AnswerAsync(Call(house, "/v1/embeddings", body), TestContext.Current.CancellationToken);

    private static VectorCall Call(House house, string path, string body)
    {
        var bytes = Encoding.UTF8.GetBytes(body);
        Assert.Null(EnvelopePeek.Read(bytes, out var envelope, modelOptional: true));
        var model = envelope!.Model.Length > 0 ? envelope.Model : "m";
        return new(new CallInfo("T", "C", "me"), house.Directory.Table.Resolve(model)!) { Model = model, Path = path, Body = bytes, ModelSlice = envelope.Model.Length > 0 ? envelope.ModelSlice : null };
    }

    /// <summary>Everything that the host gave is given back.</summary>
    private static void AssertOver(House house)
    {
        Assert.Equal(0, house["a"].State.InFlight);
        Assert.All(house.Hosts["a"].Exchanges, exchange => Assert.Equal(1, exchange.Disposals));
    }
}
