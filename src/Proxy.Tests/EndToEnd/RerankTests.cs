using System.Text;
using System.Text.Json;
using Proxy.Tests.Dialects;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>Rankings and scores in every client's dialect over hosts of every dialect.</summary>
public sealed class RerankTests(RerankTests.Door door) : IClassFixture<RerankTests.Door>
{
    public sealed class Door : FrontDoor
    {
        protected override int Lanes => 12;

        protected override int OllamaLanes => 1;

        /// <summary>Text Embeddings Inference with a reranker, with recorded bytes.</summary>
        internal FakeBackend Tei { get; private set; } = null!;

        protected override string Sections()
        {
            Tei = Host();
            Tei.Pages.Clear();
            Tei.Pages["/info"] = Encoding.UTF8.GetString(Wire.Recording("tei/rerank.info"));
            Tei.Answer(exchange =>
            {
                var (status, recording) = exchange.Request.Target switch
                {
                    "/rerank" when exchange.Request.Text.Contains("raw_scores", StringComparison.Ordinal) => (200, "tei/rerank.raw"),
                    "/rerank" when exchange.Request.Json.GetProperty("texts").GetArrayLength() > 3 => (422, "tei/rerank.batch_too_big"),
                    "/rerank" => (200, "tei/rerank.rerank"),
                    "/predict" => (200, "tei/rerank.predict"),
                    _ => (424, "tei/rerank.embed_unsupported"),
                };
                return exchange.JsonAsync(Encoding.UTF8.GetString(Wire.Recording(recording)), status);
            });
            return $$"""
            [[backends]]
            name = "tei"
            url = "{{Tei.Url}}"
            dialects = ["tei"]
            """;
        }
    }

    private const string Documents = """["A stream is resumed after a restart of the proxy.","The cat sat.","streams are resumed how"]""";
    private const string Tei = "tiny-wordpiece-rerank";

    // llama.cpp's form: logits, in the order of the documents, all of them.
    private const string Logits = """{"model":"m","object":"list","usage":{"prompt_tokens":46,"total_tokens":46},"results":["""
        + """{"index":0,"relevance_score":0.41093302},{"index":1,"relevance_score":-4.7600846},{"index":2,"relevance_score":6.000002}]}""";

    [Theory]
    [InlineData("/v1/rerank")]
    [InlineData("/v2/rerank")]
    [InlineData("/rerank")]
    public async Task Cohere_and_Jina_clients_over_a_TEI_host_Get_their_own_form(string path)
    {
        await KnownAsync();

        var (reply, line) = await door.CallAsync(
            path, $$"""{"model":"{{Tei}}","query":"how are streams resumed","documents":{{Documents}},"top_n":2,"return_documents":true}""");

        Assert.True(reply.Status == 200, reply.Text);
        var results = reply.Json.GetProperty("results").EnumerateArray().ToList();
        Assert.Equal([(2, "0.9975274", "streams are resumed how"), (0, "0.60131156", "A stream is resumed after a restart of the proxy.")],
            results.Select(result => (result.GetProperty("index").GetInt32(), result.GetProperty("relevance_score").GetRawText(), result.GetProperty("document")
                .GetProperty("text").GetString()!)));
        Assert.Equal(path != "/v2/rerank", reply.Json.TryGetProperty("usage", out _));
        Assert.Equal(path != "/rerank", reply.Json.TryGetProperty("meta", out _));
        Assert.False(string.IsNullOrEmpty(reply.Json.GetProperty("id").GetString()));
        Assert.Contains(door.Tei.Calls,
            call => call is { Target: "/rerank" } && call.Text == $$"""{"query":"how are streams resumed","texts":{{Documents}},"truncate":true}""");
        Assert.Equal("ok none 200", line.Verdict);
    }

    [Fact]
    public async Task TEI_client_names_no_model_The_first_reranker_answers_byte_for_byte()
    {
        await KnownAsync();

        var reply = await door.PostAsync("/rerank", $$"""{"query": "how are streams resumed", "texts": {{Documents}}}""");
        var tooMany = await door.PostAsync("/rerank", """{"query":"q","texts":["a","a","a","a"]}""");
        var predicted = await door.PostAsync("/predict", $$"""{"model":"{{Tei}}","inputs":"one text"}""");

        Assert.Equal(Wire.Recording("tei/rerank.rerank"), reply.Body);
        Assert.Equal((422, Encoding.UTF8.GetString(Wire.Recording("tei/rerank.batch_too_big"))), (tooMany.Status, tooMany.Text));
        Assert.Equal(Wire.Recording("tei/rerank.predict"), predicted.Body);
    }

    [Fact]
    public async Task TEI_host_refuses_Client_of_another_dialect_gets_its_words()
    {
        await KnownAsync();

        var reply = await door.PostAsync("/v2/rerank", $$"""{"model":"{{Tei}}","query":"q","documents":["a","a","a","a"]}""");

        Assert.Equal((422, "batch size 40 > maximum allowed batch size 32"), (reply.Status, reply.Json.GetProperty("message").GetString()));
    }

    [Fact]
    public async Task Info_Is_the_hosts_own()
    {
        await KnownAsync();

        var first = await door.GetAsync("/info");
        var named = await door.GetAsync("/info?model=" + Tei);
        var unknown = await door.GetAsync("/info?model=solo0-m");

        Assert.Equal(Wire.Recording("tei/rerank.info"), first.Body);
        Assert.Equal(first.Text, named.Text);
        Assert.Equal((404, "Validation"), (unknown.Status, unknown.Json.GetProperty("error_type").GetString()));
    }

    [Fact]
    public async Task TEI_client_over_a_host_that_answers_logits_Gets_sigmoids_sorted()
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.JsonAsync(Logits));

        var (reply, line) = await door.CallAsync("/rerank", $$"""{"model":"{{lane.Solo}}","query":"q","texts":["a","b","c"],"return_text":true}""");
        var raw = await door.PostAsync("/rerank", $$"""{"model":"{{lane.Solo}}","query":"q","texts":["a","b","c"],"raw_scores":true}""");

        Assert.Equal($$"""/v1/rerank {"model":"{{lane.Solo}}","query":"q","documents":["a","b","c"]}""", $"{lane.A.Calls[0].Target} {lane.A.Calls[0].Text}");
        Assert.Equal([(2, "c", 0.9975274), (0, "a", 0.6013116), (1, "b", 0.0084922)],
            reply.Json.EnumerateArray().Select(result => (
                result.GetProperty("index").GetInt32(), result.GetProperty("text").GetString()!, Math.Round(result.GetProperty("score").GetDouble(), 7))));
        Assert.Equal([6.000002f, 0.41093302f, -4.7600846f], raw.Json.EnumerateArray().Select(result => result.GetProperty("score").GetSingle()));
        Assert.Equal("46", line["tokens_in"]);
    }

    [Fact]
    public async Task TEI_client_wants_logits_of_a_host_that_answers_probabilities_Gets_them()
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.JsonAsync("""{"results":[{"index":0,"relevance_score":0.5},{"index":1,"relevance_score":0.9975274}]}"""));

        var reply = await door.PostAsync("/rerank", $$"""{"model":"{{lane.Solo}}","query":"q","texts":["a","b"],"raw_scores":true}""");

        Assert.Equal([(1, 6.0), (0, 0.0)], reply.Json.EnumerateArray()
            .Select(result => (result.GetProperty("index").GetInt32(), Math.Round(result.GetProperty("score").GetDouble(), 3))));
    }

    [Fact]
    public async Task Host_answers_in_order_Bytes_stay()
    {
        var lane = door.Take();
        const string Answer = """{"id":"r","results":[{"index":1,"relevance_score":7.50,"document":{"text":"b","multi_modal":null}},"""
            + """{"index":0,"relevance_score":-1}],"extra":1}""";
        lane.A.Answer(exchange => exchange.JsonAsync(Answer));
        var body = $$"""{"model":"{{lane.Solo}}", "query":"q","documents":["a","b"],"truncate_prompt_tokens":7}""";

        var cohere = await door.PostAsync("/v1/rerank", body);
        var second = await door.PostAsync("/v2/rerank", body);

        Assert.Equal((Answer, Answer), (cohere.Text, second.Text));
        Assert.Equal([("/v1/rerank", body), ("/v1/rerank", body)], lane.A.Calls.Select(call => (call.Target, call.Text)));
    }

    [Fact]
    public async Task Host_sorts_nothing_and_cuts_nothing_Client_gets_the_best_first()
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.JsonAsync(Logits));

        var reply = await door.PostAsync(
            "/v1/rerank", $$"""{"model":"{{lane.Solo}}","query":"q","documents":["a",{"text":"b"},"c"],"top_n":2,"return_documents":true}""");

        Assert.Equal([(2, "c"), (0, "a")], reply.Json.GetProperty("results").EnumerateArray()
            .Select(result => (result.GetProperty("index").GetInt32(), result.GetProperty("document").GetProperty("text").GetString()!)));
        Assert.Equal("""["a","b","c"]""", lane.A.Calls[0].Json.GetProperty("documents").GetRawText());
        Assert.Equal(46, reply.Json.GetProperty("usage").GetProperty("total_tokens").GetInt32());
    }

    [Theory]
    [InlineData("/v1/score")]
    [InlineData("/score")]
    public async Task Score_Goes_to_a_host_that_scores_as_it_is_and_to_another_as_a_ranking(string path)
    {
        await KnownAsync();
        var lane = door.Take();
        const string Answer = """{"id":"s","object":"list","data":[{"index":0,"object":"score","score":1.50}]}""";
        lane.A.Answer(exchange => exchange.JsonAsync(Answer));

        var native = await door.PostAsync(path, $$"""{"model":"{{lane.Solo}}","text_1":["a","b"],"text_2":["c","d"]}""");
        var translated = await door.PostAsync(path, $$"""{"model":"{{Tei}}","queries":"how are streams resumed","documents":{{Documents}}}""");
        var pairs = await door.PostAsync(path, $$"""{"model":"{{Tei}}","text_1":["a","b"],"text_2":["c","d"]}""");

        Assert.Equal((Answer, "/v1/score"), (native.Text, lane.A.Calls[0].Target));
        Assert.Equal([(0, "0.60131156"), (1, "0.00849215"), (2, "0.9975274")], translated.Json.GetProperty("data").EnumerateArray()
            .Select(item => (item.GetProperty("index").GetInt32(), item.GetProperty("score").GetRawText())));
        Assert.Equal(501, pairs.Status);
    }

    [Theory]
    [InlineData("/v1/rerank", """{"documents":["a"]}""", 400, "message")]
    [InlineData("/v2/rerank", """{"query":"q","documents":[]}""", 400, "message")]
    [InlineData("/v2/rerank", """{"query":"q","documents":[5]}""", 400, "message")]
    [InlineData("/v1/rerank", """{"query":"q","documents":["a"],"top_n":-1}""", 400, "message")]
    [InlineData("/rerank", """{"query":"q","documents":"a"}""", 400, "detail")]
    [InlineData("/rerank", """{"query":"q","texts":[]}""", 400, "error_type")]
    [InlineData("/score", """{"text_1":["a","b"],"text_2":["a","b","c"]}""", 400, "error")]
    [InlineData("/score", """{"text_1":"a"}""", 400, "error")]
    [InlineData("/v1/rerank", "[]", 400, "message")]
    [InlineData("/v1/rerank", "{", 400, "message")]
    public async Task Request_that_cannot_be_answered_Is_refused_in_the_dialect_of_the_path(string path, string body, int status, string member)
    {
        var reply = await door.PostAsync(path, body.Replace("{\"", "{\"model\":\"solo0-m\",\"", StringComparison.Ordinal));

        Assert.Equal(status, reply.Status);
        Assert.True(reply.Json.TryGetProperty(member, out _), reply.Text);
    }

    [Theory]
    [InlineData("rerank.bad_json", "{")]
    [InlineData("rerank.empty_texts", """{"query":"q","texts":[]}""")]
    [InlineData("rerank.no_query", """{"texts":["a"]}""")]
    public async Task TEI_client_asks_nonsense_Refused_as_TEI_does(string recording, string body)
    {
        await KnownAsync();
        var head = File.ReadLines(Path.Combine(Wire.Root, "src", "Proxy.Tests", "Recordings", "tei", recording + ".http")).ToList();

        // A body that only the host's parser refuses reaches the host unchanged; the proxy parses it if the host has another dialect.
        var reply = await door.PostAsync("/rerank", body.Replace("{\"", "{\"model\":\"solo0-m\",\"", StringComparison.Ordinal));

        Assert.Equal(head[0].Split(' ')[1], $"{reply.Status}");
        Assert.Equal(head.First(line => line.StartsWith("content-type", StringComparison.Ordinal)).Split(": ")[1], reply.ContentType);
        Assert.Equal(Encoding.UTF8.GetString(Wire.Recording("tei/" + recording)).Split(':')[0], reply.Text.Split(':')[0]);
    }

    [Fact]
    public async Task Ollama_host_reranks_nothing_Refused()
    {
        var reply = await door.PostAsync("/v1/rerank", """{"model":"solo12-m","query":"q","documents":["a"]}""");

        Assert.Equal(501, reply.Status);
    }

    [Theory]
    [InlineData("""{"results":[{"index":5,"relevance_score":1}]}""")]
    [InlineData("""{"results":[{"index":0}]}""")]
    [InlineData("""{"results":[]}""")]
    [InlineData("""{"results":[{"index":0,"relevance_score":1}]}""")] // one result for two documents
    [InlineData("nonsense")]
    public async Task Host_answers_nonsense_Client_gets_an_error(string answer)
    {
        var lane = door.Take();
        lane.A.Once(exchange => exchange.JsonAsync(answer));

        var reply = await door.PostAsync("/rerank", $$"""{"model":"{{lane.Solo}}","query":"q","texts":["a","b"]}""");

        Assert.Equal((502, "Backend"), (reply.Status, reply.Json.GetProperty("error_type").GetString()));
    }

    private Task KnownAsync() =>
        Patience.Until(async () => (await door.GetAsync("/v1/models")).Text.Contains(Tei, StringComparison.Ordinal), "the host was asked what it is");
}
