using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using Proxy.Config;
using Proxy.Tests.Backends;
using Proxy.Tests.Dialects;
using Proxy.Vectors;

namespace Proxy.Tests.Http;

/// <summary>Every endpoint for vectors and scores, over models of this process.</summary>
public sealed class InProcessVectorTests
{
    private static readonly VectorModelInfo MiniLm = new("mini", VectorModelKind.Embed)
    {
        Aliases = ["all-minilm"],
        MaxInputLength = 256,
        Dimensions = 4,
        MaxInputs = 3
    };

    [Theory]
    [InlineData("mini", "mini")]
    [InlineData("all-minilm", "mini")]
    [InlineData("all-minilm:latest", "mini")]
    [InlineData("alias", "mini")]
    public async Task Model_Is_found_by_its_names(string asked, string served)
    {
        await using var edge = await StartAsync(new FakeVectorModel(MiniLm));

        var (status, text, _) = await edge.SendAsync("POST", "/v1/embeddings", $$"""{"model":"{{asked}}","input":["a",""],"encoding_format":"base64"}""");

        Assert.True(status == 200, text);
        var answer = JsonElement.Parse(text);
        Assert.Equal([[0f, 1, 0, 0], [1f, 0, 0, 0]], answer.GetProperty("data").EnumerateArray()
            .Select(item => MemoryMarshal.Cast<byte, float>(item.GetProperty("embedding").GetBytesFromBase64()).ToArray()));
        Assert.Equal((asked, 6), (answer.GetProperty("model").GetString(), answer.GetProperty("usage").GetProperty("prompt_tokens").GetInt32()));
        var line = Assert.Single(edge.Log());
        Assert.Contains($"served={served}", line, StringComparison.Ordinal);
        Assert.Contains("outcome=ok", line, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Name_that_a_host_serves_Is_the_hosts()
    {
        await using var edge = await StartAsync([new FakeVectorModel(MiniLm)], House.At("a", "all-minilm") with { Prefixes = ["mi"] });
        edge.House.Plays("a", Script.Json("""{"object":"list","data":[]}"""), Script.Json("""{"object":"list","data":[]}"""));

        Assert.Equal(200, (await edge.SendAsync("POST", "/v1/embeddings", """{"model":"all-minilm","input":"a"}""")).Status);
        Assert.Equal(200, (await edge.SendAsync("POST", "/v1/embeddings", """{"model":"mini","input":"a"}""")).Status);
        Assert.Equal(2, edge.House.Hosts["a"].Exchanges.Count);
    }

    [Fact]
    public async Task Default_backend_Is_asked_only_for_what_is_not_here()
    {
        var config = new ProxyConfig { Backends = [House.At("a")], DefaultBackend = "a" };
        await using var edge = await StartAsync(config, new FakeVectorModel(MiniLm));
        edge.House.Plays("a", Script.Json("""{"object":"list","data":[]}"""));

        Assert.Contains("\"embedding\":[", (await edge.SendAsync("POST", "/v1/embeddings", """{"model":"mini","input":"a"}""")).Text, StringComparison.Ordinal);
        Assert.Empty(edge.House.Hosts["a"].Exchanges);
        Assert.Equal(200, (await edge.SendAsync("POST", "/v1/embeddings", """{"model":"other","input":"a"}""")).Status);
    }

    [Fact]
    public async Task Chat_is_asked_of_it_Refused()
    {
        await using var edge = await StartAsync(new FakeVectorModel(MiniLm));

        var chat = await edge.SendAsync("POST", "/v1/chat/completions", """{"model":"mini","messages":[{"role":"user","content":"x"}]}""");
        var ollama = await edge.SendAsync("POST", "/api/chat", """{"model":"mini","messages":[{"role":"user","content":"x"}]}""");
        var generate = await edge.SendAsync("POST", "/api/generate", """{"model":"mini","prompt":"x"}""");

        Assert.Equal((400, 400, 400), (chat.Status, ollama.Status, generate.Status));
        Assert.Contains("does not support chat", chat.Text, StringComparison.Ordinal);
        Assert.Contains("does not support chat", ollama.Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("/v1/embed")]
    [InlineData("/v1/audio/speech")]
    [InlineData("/v1/images/generations")]
    [InlineData("/v1/moderations")]
    [InlineData("/v1/audio/speech?voice=x", "/v1/audio/speech")]
    public async Task What_it_does_not_do_is_asked_of_it_The_refusal_names_the_path(string target, string? named = null)
    {
        await using var edge = await StartAsync(new FakeVectorModel(MiniLm));

        var (status, text, _) = await edge.SendAsync("POST", target, """{"model":"mini","input":"x"}""");

        var error = JsonElement.Parse(text).GetProperty("error");
        Assert.Equal((400, "model"), (status, error.GetProperty("param").GetString()));
        Assert.StartsWith($"\"mini\" does not support {named ?? target}: ", error.GetProperty("message").GetString(), StringComparison.Ordinal);
        Assert.DoesNotContain("chat", text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Form_with_its_name_is_sent_to_it_The_refusal_names_the_path()
    {
        await using var edge = await StartAsync(new FakeVectorModel(MiniLm));

        var (status, text, _) = await edge.SendAsync("POST", "/v1/audio/transcriptions",
            "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nmini\r\n--b--\r\n", "content-type: multipart/form-data; boundary=b");

        Assert.Equal(400, status);
        Assert.Contains("does not support /v1/audio/transcriptions", text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Listings_Show_it_unless_a_host_has_the_name()
    {
        await using var edge = await StartAsync([new FakeVectorModel(MiniLm)], House.At("a", "all-minilm"));

        var names = JsonElement.Parse((await edge.SendAsync("GET", "/v1/models")).Text).GetProperty("data").EnumerateArray()
            .Select(model => (model.GetProperty("id").GetString(), model.GetProperty("owned_by").GetString()));
        var one = await edge.SendAsync("GET", "/v1/models/mini");

        Assert.Equal([("all-minilm", "a"), ("alias", "proxy"), ("mini", "proxy")], names);
        Assert.Equal(200, one.Status);
    }

    [Theory]
    [InlineData("/v1/embeddings", """{"model":"mini","input":["a","b","c","d"]}""", 400, "at most 3")]
    [InlineData("/api/embed", """{"model":"mini","input":["a","b","c","d"]}""", 400, "3")]
    [InlineData("/embed", """{"inputs":["a","b","c","d"]}""", 422, """{"error":"batch size 4 > maximum allowed batch size 3","error_type":"Validation"}""")]
    [InlineData("/embed", """{"inputs":""}""", 400, """{"error":"Input validation error: `inputs` cannot be empty","error_type":"Empty"}""")]
    [InlineData("/embed", """{"inputs":[]}""", 400, """{"error":"Input validation error: `inputs` cannot be empty","error_type":"Empty"}""")]
    [InlineData("/embed", "{", 400, "Failed to parse the request body as JSON: ")]
    [InlineData("/embed", "{}", 422, "Failed to deserialize the JSON body into the target type: missing field `inputs`")]
    [InlineData("/embed", """{"inputs":5}""", 422,
        "Failed to deserialize the JSON body into the target type: inputs: data did not match any variant of untagged enum Input")]
    [InlineData("/rerank", """{"query":"q","texts":["a"]}""", 424, "no model")]
    [InlineData("/rerank", """{"model":"mini","query":"q","texts":["a"]}""", 424,
        """{"error":"Backend error: model is not a re-ranker model","error_type":"Backend"}""")]
    [InlineData("/predict", """{"inputs":"a"}""", 424, """{"error":"Backend error: Model is not a classifier model","error_type":"Backend"}""")]
    [InlineData("/similarity", """{"inputs":{}}""", 501, "/similarity is not available")]
    [InlineData("/v1/embeddings", """{"model":"mini","input":"a","dimensions":2}""", 400, "\"param\":\"dimensions\"")]
    [InlineData("/v1/embeddings", """{"model":"mini","input":[]}""", 400, "\"param\":\"input\"")]
    public async Task Call_that_cannot_be_answered_Is_refused_as_the_dialects_own_server_does(string path, string body, int status, string said)
    {
        await using var edge = await StartAsync(new FakeVectorModel(MiniLm));

        var (got, text, _) = await edge.SendAsync("POST", path, body);

        if (status == 424 && said == "no model") (status, said) = (404, "no model here answers /rerank"); // no model of that kind exists, so no model is asked
        Assert.Equal(status, got);
        Assert.Contains(said, text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Model_refuses_Each_dialect_says_so_in_its_words()
    {
        var model = new FakeVectorModel(MiniLm) { Refusal = new(VectorErrorKind.TooLong, "too long") { Input = 1, Tokens = 904, Limit = 512 } };
        await using var edge = await StartAsync(model);

        var openAi = await edge.SendAsync("POST", "/v1/embeddings", """{"model":"mini","input":["a","b"]}""");
        var ollama = await edge.SendAsync("POST", "/api/embed", """{"model":"mini","input":["a","b"],"truncate":false}""");
        var tei = await edge.SendAsync("POST", "/embed", """{"inputs":["a","b"],"truncate":false}""");
        model.Refusal = new(VectorErrorKind.Overloaded, "the queue is full");
        var busy = await edge.SendAsync("POST", "/v1/embeddings", """{"model":"mini","input":"a"}""");
        var busyTei = await edge.SendAsync("POST", "/embed", """{"inputs":"a"}""");

        var error = JsonElement.Parse(openAi.Text).GetProperty("error");
        Assert.Equal((400, "input", "context_length_exceeded"), (openAi.Status, error.GetProperty("param").GetString(), error.GetProperty("code").GetString()));
        Assert.Contains("input[1] has 904 tokens", openAi.Text, StringComparison.Ordinal);
        Assert.Equal(400, ollama.Status);
        Assert.StartsWith("""{"error":"the input length exceeds the context length""", ollama.Text, StringComparison.Ordinal);
        Assert.Equal((422, """{"error":"Input validation error: `inputs` must have less than 512 tokens. Given: 904 (input 1)","error_type":"Validation"}"""),
            (tei.Status, tei.Text));
        Assert.Equal((503, "1"), (busy.Status, busy.Reply.Headers.GetValues("retry-after").Single()));
        Assert.Equal((429, """{"error":"Model is overloaded","error_type":"Overloaded"}"""), (busyTei.Status, busyTei.Text));
        Assert.Equal([false, false, false], model.Asked.Take(3).Select(request => request.Truncate));
    }

    [Fact]
    public async Task Dialects_say_nothing_of_truncation_Each_means_what_its_own_server_does()
    {
        var model = new FakeVectorModel(MiniLm);
        await using var edge = await StartAsync(model);

        await edge.SendAsync("POST", "/v1/embeddings", """{"model":"mini","input":[5,6,7]}""");
        await edge.SendAsync("POST", "/api/embed", """{"model":"mini","input":"a"}""");
        await edge.SendAsync("POST", "/embed", """{"inputs":"a"}""");

        Assert.Equal([false, true, true], model.Asked.Select(request => request.Truncate));
        Assert.Equal([5, 6, 7], model.Asked[0].Inputs[0].TokenIds!);
    }

    [Fact]
    public async Task Vectors_shorter_Are_cut_for_Ollama_and_TEI_and_for_OpenAi_where_the_model_is_made_for_it()
    {
        await using var edge = await StartAsync(new FakeVectorModel(MiniLm), new FakeVectorModel(MiniLm with
        {
            Name = "doll",
            Aliases = [],
            Matryoshka = true
        }));

        var ollama = await edge.SendAsync("POST", "/api/embed", """{"model":"mini","input":"a","dimensions":2}""");
        var tei = await edge.SendAsync("POST", "/embed", """{"model":"mini","inputs":"a","dimensions":2}""");
        var openAi = await edge.SendAsync("POST", "/v1/embeddings", """{"model":"doll","input":"a","dimensions":2}""");

        Assert.Contains("\"embeddings\":[[0,1]]", ollama.Text, StringComparison.Ordinal);
        Assert.Equal("[[0,1]]", tei.Text);
        Assert.Contains("\"embedding\":[0,1]", openAi.Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task TEIs_other_paths_Are_answered_in_its_form()
    {
        await using var edge = await StartAsync(new FakeVectorModel(MiniLm));

        var all = await edge.SendAsync("POST", "/embed_all", """{"inputs":["a","b"]}""");
        var tokens = await edge.SendAsync("POST", "/tokenize", """{"inputs":"hi"}""");
        var plain = await edge.SendAsync("POST", "/tokenize", """{"inputs":["hi","you"],"add_special_tokens":false}""");
        var info = await edge.SendAsync("GET", "/info");

        Assert.Equal("[[[0,2,0,0],[0,2,0,0]],[[0,2,0,0],[0,2,0,0]]]", all.Text);
        Assert.Equal("""[[{"id":101,"text":"[CLS]","special":true,"start":null,"stop":null},{"id":7,"text":"hi","special":false,"start":0,"stop":2}]]""",
            tokens.Text);
        Assert.Equal(2, JsonElement.Parse(plain.Text).GetArrayLength());
        var recorded = JsonElement.Parse(Wire.Recording("tei/embed.info")).EnumerateObject().Select(member => member.Name);
        var said = JsonElement.Parse(info.Text);
        Assert.Equal(recorded, said.EnumerateObject().Select(member => member.Name));
        Assert.Equal(("mini", 256, "mean"), (said.GetProperty("model_id").GetString(), said.GetProperty("max_input_length").GetInt32(),
            said.GetProperty("model_type").GetProperty("embedding").GetProperty("pooling").GetString()));
    }

    [Fact]
    public async Task Reranker_Ranks_in_every_dialect()
    {
        await using var edge = await StartAsync(new FakeVectorModel(MiniLm),
            new FakeVectorModel(new("ranker", VectorModelKind.Rerank) { MaxInputLength = 512 }));

        var cohere = await edge.SendAsync("POST", "/v2/rerank", """{"query":"ab","documents":["x","ab","a"],"top_n":2}""");
        var tei = await edge.SendAsync("POST", "/rerank", """{"query":"ab","texts":["x","ab","a"]}""");
        var pairs = await edge.SendAsync("POST", "/v1/score", """{"model":"ranker","text_1":["ab","ab"],"text_2":["a","ab"]}""");
        var embeds = await edge.SendAsync("POST", "/embed", """{"model":"ranker","inputs":"a"}""");

        Assert.Equal([(1, 1f), (2, 0.5f)], JsonElement.Parse(cohere.Text).GetProperty("results").EnumerateArray()
            .Select(result => (result.GetProperty("index").GetInt32(), result.GetProperty("relevance_score").GetSingle())));
        Assert.DoesNotContain("method", cohere.Text, StringComparison.Ordinal);
        Assert.Equal("""[{"index":1,"score":1},{"index":2,"score":0.5},{"index":0,"score":0}]""", tei.Text);
        Assert.Equal([0.5f, 1f], JsonElement.Parse(pairs.Text).GetProperty("data").EnumerateArray().Select(item => item.GetProperty("score").GetSingle()));
        Assert.Equal((424, Encoding.UTF8.GetString(Wire.Recording("tei/rerank.embed_unsupported"))), (embeds.Status, embeds.Text));
    }

    [Fact]
    public async Task Embedder_alone_Ranks_by_cosine_and_says_so()
    {
        var model = new FakeVectorModel(MiniLm);
        await using var edge = await StartAsync(model);

        var (status, text, _) = await edge.SendAsync("POST", "/v1/rerank", """{"query":"ab","documents":["x","xy"]}""");

        Assert.True(status == 200, text);
        Assert.Equal("cosine", JsonElement.Parse(text).GetProperty("method").GetString());
        Assert.Equal([(1, 1f), (0, 0f)], JsonElement.Parse(text).GetProperty("results").EnumerateArray()
            .Select(result => (result.GetProperty("index").GetInt32(), result.GetProperty("relevance_score").GetSingle())));
        Assert.Equal([PromptKind.Query, PromptKind.Document], model.Asked.Select(request => request.Prompt));
    }

    private static Task<Edge> StartAsync(params IReadOnlyList<IVectorModel> models) => StartAsync(models, House.At("unused", "nobody"));

    private static Task<Edge> StartAsync(IReadOnlyList<IVectorModel> models, BackendConfig backend) =>
        StartAsync(new ProxyConfig { Backends = [backend], Aliases = new Dictionary<string, string> { ["alias"] = "mini" } }, [.. models]);

    private static async Task<Edge> StartAsync(ProxyConfig config, params IVectorModel[] models)
    {
        var edge = await Edge.StartAsync(config);
        edge.House.Directory.Embedders = new EmbedderTable(models);
        edge.House.Directory.Refresh();
        return edge;
    }
}
