using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using Proxy.Tests.Dialects;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>Embeddings in every client's dialect over hosts of every dialect.</summary>
public sealed class EmbeddingTests(EmbeddingTests.Door door) : IClassFixture<EmbeddingTests.Door>
{
    public sealed class Door : FrontDoor
    {
        protected override int Lanes => 12;

        protected override int OllamaLanes => 8;

        /// <summary>Text Embeddings Inference, with recorded bytes.</summary>
        internal FakeBackend Tei { get; private set; } = null!;

        /// <summary>Hosts with invalid answers, used by one theory only.</summary>
        internal Lane Nonsense => field ??= Take();

        protected override string Sections()
        {
            Tei = Host();
            Tei.Pages.Clear();
            Tei.Pages["/info"] = Encoding.UTF8.GetString(Wire.Recording("tei/embed.info"));
            Tei.Answer(exchange => exchange.JsonAsync(Encoding.UTF8.GetString(Wire.Recording(exchange.Request.Target switch
            {
                "/embed" when exchange.Request.Json.GetProperty("inputs").ValueKind is JsonValueKind.Array && exchange.Request.Json.GetProperty("inputs")
                    .GetArrayLength() == 2 => "tei/embed.list",
                "/embed" => "tei/embed.one",
                "/embed_all" => "tei/embed.embed_all",
                _ when exchange.Request.Text.Contains("base64", StringComparison.Ordinal) => "tei/embed.v1.base64",
                _ => "tei/embed.v1.float",
            }))));
            return $$"""
            [[backends]]
            name = "tei"
            url = "{{Tei.Url}}"
            dialects = ["tei"]
            """;
        }
    }

    private const string TwoVectors = """{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.6,0.8,0,-0.0]},"""
        + """{"object":"embedding","index":1,"embedding":[1e-7,-3.5,0.125,2]}],"model":"served","usage":{"prompt_tokens":6,"total_tokens":6}}""";
    private static readonly float[][] Two = [[0.6f, 0.8f, 0f, -0f], [1e-7f, -3.5f, 0.125f, 2f]];
    private const string TwoOfOllama =
        """{"model":"served","embeddings":[[0.6,0.8,0,-0],[1e-7,-3.5,0.125,2]],"total_duration":13199393,"load_duration":2063162,"prompt_eval_count":6}""";

    [Fact]
    public async Task Host_ignores_base64_Client_gets_it_all_the_same()
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.JsonAsync(TwoVectors));

        var (reply, line) = await door.CallAsync("/v1/embeddings", $$"""{"model":"{{lane.Solo}}","input":["a","b"],"encoding_format":"base64"}""");

        Assert.True(reply.Status == 200, reply.Text);
        Assert.Equal(Two.Select(Bits), Decoded(reply.Json));
        Assert.Equal((6, lane.Solo), (reply.Json.GetProperty("usage").GetProperty("prompt_tokens").GetInt32(), reply.Json.GetProperty("model").GetString()));
        Assert.Equal("6", line["tokens_in"]);
    }

    [Fact]
    public async Task Host_answers_base64_unasked_Client_gets_numbers()
    {
        var lane = door.Take();
        lane.A.Answer(exchange =>
            exchange.JsonAsync("""{"object":"list","data":[{"object":"embedding","index":0,"embedding":"mpkZP83MTD8AAAAAAAAAgA=="}],"model":"m"}"""));

        var (reply, _) = await door.CallAsync("/v1/embeddings", $$"""{"model":"{{lane.Solo}}","input":"a"}""");

        Assert.Equal("[0.6,0.8,0,-0]", reply.Json.GetProperty("data")[0].GetProperty("embedding").GetRawText());
        OpenApiSchema.OpenAi.Valid("CreateEmbeddingResponse", reply.Text);
    }

    [Fact]
    public async Task Host_answers_as_asked_Bytes_stay()
    {
        var lane = door.Take();
        var answer = Encoding.UTF8.GetString(Wire.Recording("llama.cpp/embeddings.base64"));
        lane.A.Answer(exchange => exchange.JsonAsync(answer));
        var body = $$"""{"encoding_format" : "base64","model":"{{lane.Solo}}","input":"a","user":1.50}""";

        var (reply, _) = await door.CallAsync("/v1/embeddings", body);

        Assert.Equal(answer, reply.Text);
        Assert.Equal(body, lane.A.Calls[0].Text);
    }

    [Theory]
    [InlineData("base64")]
    [InlineData("float")]
    public async Task OpenAi_client_over_an_Ollama_host_Gets_its_form(string format)
    {
        var lane = door.TakeOllama();
        lane.A.Answer(exchange => exchange.JsonAsync(TwoOfOllama));

        var (reply, line) = await door.CallAsync(
            "/v1/embeddings", $$"""{"model":"{{lane.Solo}}","input":["a","b"],"encoding_format":"{{format}}","user":"u"}""");

        Assert.True(reply.Status == 200, reply.Text);
        Assert.Equal($$"""/api/embed {"model":"{{lane.Solo}}","input":["a","b"],"truncate":false}""", $"{lane.A.Calls[0].Target} {lane.A.Calls[0].Text}");
        if (format == "base64") Assert.Equal(Two.Select(Bits), Decoded(reply.Json));
        else Assert.Equal(["[0.6,0.8,0,-0]", "[1e-7,-3.5,0.125,2]"], reply.Json.GetProperty("data").EnumerateArray()
            .Select(item => item.GetProperty("embedding").GetRawText()));
        Assert.Equal([0, 1], reply.Json.GetProperty("data").EnumerateArray().Select(item => item.GetProperty("index").GetInt32()));
        Assert.Equal("""{"prompt_tokens":6,"total_tokens":6}""", reply.Json.GetProperty("usage").GetRawText());
        Assert.Equal("ok none 200", line.Verdict);
    }

    [Fact]
    public async Task Ollama_client_over_an_OpenAi_host_Gets_what_Ollama_answers()
    {
        var lane = door.Take();
        // In the order of completion.
        lane.A.Answer(exchange => exchange.JsonAsync("""{"data":[{"index":1,"embedding":[1e-7,-3.5,0.125,2]},{"index":0,"embedding":"""
            + """[0.6,0.8,0,-0.0]}],"usage":{"prompt_tokens":6,"total_tokens":6}}"""));

        var (reply, line) = await door.CallAsync(
            "/api/embed", $$"""{"model":"{{lane.Solo}}","input":["a","b"],"truncate":true,"keep_alive":"5m","options":{ } }""");

        Assert.True(reply.Status == 200, reply.Text);
        var recorded = JsonElement.Parse(Wire.Recording("ollama/embed.list"));
        Assert.Equal(recorded.EnumerateObject().Select(member => (member.Name, member.Value.ValueKind)), reply.Json.EnumerateObject()
            .Select(member => (member.Name, member.Value.ValueKind)));
        Assert.Equal("[[0.6,0.8,0,-0],[1e-7,-3.5,0.125,2]]", reply.Json.GetProperty("embeddings").GetRawText());
        OpenApiSchema.Ollama.Valid("EmbedResponse", reply.Text);
        Assert.Equal((lane.Solo, 6), (reply.Json.GetProperty("model").GetString(), reply.Json.GetProperty("prompt_eval_count").GetInt32()));
        Assert.Equal("application/json; charset=utf-8", reply.ContentType);
        Assert.Equal(
            $$"""/v1/embeddings {"model":"{{lane.Solo}}","input":["a","b"],"encoding_format":"float"}""", $"{lane.A.Calls[0].Target} {lane.A.Calls[0].Text}");
        Assert.Equal("6", line["tokens_in"]);
    }

    [Fact]
    public async Task Older_Ollama_path_Has_one_vector_of_wide_numbers()
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.JsonAsync("""{"data":[{"index":0,"embedding":[0.6,0.8,0,-0.0]}]}"""));

        var reply = await door.PostAsync("/api/embeddings", $$"""{"model":"{{lane.Solo}}","prompt":"hi"}""");

        Assert.Equal(Encoding.UTF8.GetString(Wire.Recording("ollama/embeddings")), reply.Text);
    }

    [Theory]
    [InlineData("/api/embed", ""","input":[]""", "ollama/embed.empty_list")]
    [InlineData("/api/embed", ""","input":"" """, "ollama/embed.empty_string")]
    [InlineData("/api/embed", "", "ollama/embed.no_input")]
    [InlineData("/api/embeddings", ""","prompt":"" """, "ollama/embeddings.empty")]
    public async Task Nothing_to_embed_Ollama_client_is_answered_without_a_host(string path, string more, string recording)
    {
        var reply = await door.PostAsync(path, $$"""{"model":"solo0-m"{{more}}}""");

        Assert.Equal((200, Encoding.UTF8.GetString(Wire.Recording(recording)).Replace("\"embed\"", "\"solo0-m\"", StringComparison.Ordinal)),
            (reply.Status, reply.Text));
    }

    [Fact]
    public async Task Ollama_client_asks_nonsense_Refused_in_Ollamas_words()
    {
        var unknown = await door.PostAsync("/api/embed", """{"model":"nope","input":"hi"}""");
        var wrong = await door.PostAsync("/api/embed", """{"model":"solo0-m","input":5}""");

        Assert.Equal((404, Encoding.UTF8.GetString(Wire.Recording("ollama/embed.unknown"))), (unknown.Status, unknown.Text));
        Assert.Equal((400, Encoding.UTF8.GetString(Wire.Recording("ollama/embed.bad_type"))), (wrong.Status, wrong.Text));
    }

    [Theory]
    [InlineData("[]", "input")]
    [InlineData("[[]]", "input")]
    [InlineData("{}", "input")]
    [InlineData("[1,\"a\"]", "input")]
    [InlineData("[101,7592]", "input")] // such a host accepts only texts
    [InlineData("\"a\",\"dimensions\":0", "dimensions")]
    [InlineData("\"a\",\"encoding_format\":\"int8\"", "encoding_format")]
    public async Task OpenAi_client_over_an_Ollama_host_asks_what_cannot_be_Refused_by_field(string input, string field)
    {
        var reply = await door.PostAsync("/v1/embeddings", $$"""{"model":"solo12-m","input":{{input}}}""");

        Assert.Equal((400, field), (reply.Status, reply.Json.GetProperty("error").GetProperty("param").GetString()));
    }

    [Fact]
    public async Task Empty_text_from_an_OpenAi_client_Is_embedded_by_an_Ollama_host()
    {
        var lane = door.TakeOllama();
        lane.A.Answer(exchange => exchange.JsonAsync(Encoding.UTF8.GetString(Wire.Recording("ollama/embed.one"))));

        var reply = await door.PostAsync("/v1/embeddings", $$"""{"model":"{{lane.Solo}}","input":""}""");

        Assert.Equal((200, """[""]"""), (reply.Status, lane.A.Calls[0].Json.GetProperty("input").GetRawText()));
        Assert.Equal("[0.6,0.8,0,-0]", reply.Json.GetProperty("data")[0].GetProperty("embedding").GetRawText());
        OpenApiSchema.OpenAi.Valid("CreateEmbeddingResponse", reply.Text);
    }

    [Fact]
    public async Task Host_ignores_dimensions_Vector_is_cut_only_where_its_model_is_made_for_it()
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.JsonAsync("""{"data":[{"index":0,"embedding":[3,4,12]}],"usage":{"prompt_tokens":1,"total_tokens":1}}"""));
        string Body(string model, int dimensions) => $$"""{"model":"{{model}}","input":"a","dimensions":{{dimensions}}}""";

        var cut = await door.PostAsync("/v1/embeddings", Body(lane.Solo + "/nomic-embed-text-v1.5", 2));
        var refused = await door.PostAsync("/v1/embeddings", Body(lane.Solo, 2));
        var tooMany = await door.PostAsync("/v1/embeddings", Body(lane.Solo, 4));
        var fits = await door.PostAsync("/v1/embeddings", Body(lane.Solo, 3));

        Assert.Equal("[0.6,0.8]", cut.Json.GetProperty("data")[0].GetProperty("embedding").GetRawText());
        Assert.Equal((400, "dimensions", 400, "dimensions"), (refused.Status, refused.Json.GetProperty("error").GetProperty("param")
            .GetString(), tooMany.Status, tooMany.Json.GetProperty("error").GetProperty("param").GetString()));
        Assert.Equal("[3,4,12]", fits.Json.GetProperty("data")[0].GetProperty("embedding").GetRawText());
    }

    [Fact]
    public async Task Ollama_and_TEI_clients_Get_any_vector_cut()
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.JsonAsync("""{"data":[{"index":0,"embedding":[3,4,12]}]}"""));

        var ollama = await door.PostAsync("/api/embed", $$"""{"model":"{{lane.Solo}}","input":"a","dimensions":2}""");
        var tei = await door.PostAsync("/embed", $$"""{"model":"{{lane.Solo}}","inputs":"a","dimensions":2}""");

        Assert.Equal("[[0.6,0.8]]", ollama.Json.GetProperty("embeddings").GetRawText());
        Assert.Equal("[[0.6,0.8]]", tei.Text);
        Assert.Equal(2, lane.A.Calls[0].Json.GetProperty("dimensions").GetInt32());
    }

    [Fact]
    public async Task TEI_client_over_an_OpenAi_host_Gets_normalised_vectors()
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.JsonAsync("""{"data":[{"index":0,"embedding":[3,4]}]}"""));

        var normalised = await door.PostAsync("/embed", $$"""{"model":"{{lane.Solo}}","inputs":[[1,2,3]]}""");
        var raw = await door.PostAsync("/embed", $$"""{"model":"{{lane.Solo}}","inputs":"a","normalize":false}""");
        var prompted = await door.PostAsync("/embed", $$"""{"model":"{{lane.Solo}}","inputs":"a","prompt_name":"query"}""");
        var tokens = await door.PostAsync("/embed_all", $$"""{"model":"{{lane.Solo}}","inputs":"a"}""");

        Assert.Equal((200, "[[0.6,0.8]]"), (normalised.Status, normalised.Text));
        Assert.Equal("[[1,2,3]]", lane.A.Calls[0].Json.GetProperty("input").GetRawText());
        Assert.Equal((400, 400, 501), (raw.Status, prompted.Status, tokens.Status));
        Assert.Equal("Validation", raw.Json.GetProperty("error_type").GetString());
        Assert.Single(lane.A.Calls);
    }

    [Fact]
    public async Task TEI_client_names_no_model_The_first_TEI_host_answers_byte_for_byte()
    {
        await Patience.Until(
            async () => (await door.GetAsync("/v1/models")).Text.Contains("all-MiniLM", StringComparison.Ordinal), "the host was asked what it is");

        var (reply, line) = await door.CallAsync("/embed", """{"inputs": "hi"}""");
        var all = await door.PostAsync("/embed_all", """{"inputs": "hi"}""");

        Assert.Equal(Wire.Recording("tei/embed.one"), reply.Body);
        Assert.Equal(Wire.Recording("tei/embed.embed_all"), all.Body);
        Assert.Contains(door.Tei.Calls, call => call is { Target: "/embed", Text: """{"inputs": "hi"}""" });
        Assert.Equal("all-MiniLM-L6-v2-q4", line["model"]);
    }

    [Fact]
    public async Task Every_client_over_a_TEI_host_Gets_the_same_vectors()
    {
        await Patience.Until(
            async () => (await door.GetAsync("/v1/models")).Text.Contains("all-MiniLM", StringComparison.Ordinal), "the host was asked what it is");
        const string Model = "all-MiniLM-L6-v2-q4";

        var openAi = await door.PostAsync("/v1/embeddings", $$"""{"model":"{{Model}}","input":"hi"}""");
        var base64 = await door.PostAsync("/v1/embeddings", $$"""{"model":"{{Model}}","input":["a","b"],"encoding_format":"base64"}""");
        var ollama = await door.PostAsync("/api/embed", $$"""{"model":"{{Model}}","input":["a","b"],"truncate":false}""");

        Assert.Equal(Wire.Recording("tei/embed.v1.float"), openAi.Body);
        Assert.Equal(Wire.Recording("tei/embed.v1.base64"), base64.Body);
        Assert.Equal(JsonElement.Parse(Wire.Recording("tei/embed.list")).EnumerateArray().Select(Bits), ollama.Json.GetProperty("embeddings").EnumerateArray()
            .Select(Bits));
        Assert.False(ollama.Json.TryGetProperty("prompt_eval_count", out _));
        Assert.Contains(door.Tei.Calls, call => call is { Target: "/embed", Text: """{"inputs":["a","b"],"truncate":false}""" });
    }

    [Theory]
    [InlineData("/v1/embeddings", "input")]
    [InlineData("/api/embed", "input")]
    [InlineData("/embed", "inputs")]
    public async Task Host_of_another_dialect_refuses_Client_gets_its_words_in_its_own_form(string path, string field)
    {
        var ollama = path != "/api/embed";
        var lane = ollama ? door.TakeOllama() : door.Take();
        lane.A.Answer(exchange => exchange.JsonAsync(ollama
            ? """{"error":"the input length exceeds the context length"}"""
            : """{"error":{"message":"the input length exceeds the context length","type":"invalid_request_error","param":null,"code":null}}""", 400));

        var (reply, line) = await door.CallAsync(path, $$"""{"model":"{{lane.Solo}}","{{field}}":"hi"}""");

        Assert.Equal(400, reply.Status);
        var message = path == "/v1/embeddings" ? reply.ErrorMessage : reply.Json.GetProperty("error").GetString();
        Assert.Equal("the input length exceeds the context length", message);
        Assert.Equal("refused client 400", line.Verdict);
    }

    [Theory]
    [InlineData("[]")]
    [InlineData("{}")]
    [InlineData("""{"data":[]}""")]
    [InlineData("""{"data":[{"embedding":[1,2]}]}""")] // one vector for two inputs
    [InlineData("""{"data":[{"embedding":[1,2]},{"embedding":[1]}]}""")]
    [InlineData("""{"data":[{"embedding":[null]},{"embedding":[1]}]}""")]
    [InlineData("""{"data":[{"embedding":[1]},{"embedding":""")]
    public async Task Host_answers_nonsense_Client_gets_an_error(string answer)
    {
        var lane = door.Nonsense;
        lane.A.Once(exchange => exchange.JsonAsync(answer));

        var reply = await door.PostAsync("/api/embed", $$"""{"model":"{{lane.Solo}}","input":["a","b"]}""");

        Assert.Equal(502, reply.Status);
    }

    private static IEnumerable<string> Decoded(JsonElement answer) =>
        answer.GetProperty("data").EnumerateArray().Select(item => Convert.ToHexString(item.GetProperty("embedding").GetBytesFromBase64()));

    private static string Bits(JsonElement vector) => Bits([.. vector.EnumerateArray().Select(number => number.GetSingle())]);

    private static string Bits(float[] vector) => Convert.ToHexString(MemoryMarshal.AsBytes(vector.AsSpan()));
}
