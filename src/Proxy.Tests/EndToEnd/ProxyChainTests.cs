using System.Text.RegularExpressions;
using Proxy.Backends;
using Proxy.Config;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>A proxy in front of a proxy: every request gets the answer that the second one alone would give.</summary>
public sealed partial class ProxyChainTests(ProxyChainTests.Chain chain) : IClassFixture<ProxyChainTests.Chain>
{
    private const string Tei = """{"model_id":"bge-reranker","model_sha":null,"model_dtype":"float16","model_type":{"reranker":{"id2label":"""
        + """{"0":"LABEL_0"},"label2id":{"LABEL_0":0}}},"max_input_length":512,"version":"1.7.0"}""";

    private const string TeiEmbeds = """{"model_id":"bge-small","model_sha":null,"model_dtype":"float16","model_type":{"embedding":"""
        + """{"pooling":"cls"}},"max_input_length":512,"version":"1.7.0"}""";

    public sealed class Chain : IAsyncLifetime
    {
        private readonly FakeBackend openAi =
            FakeBackend.Start(), ollama = FakeBackend.Start(), reranks = FakeBackend.Start(), embeds = FakeBackend.Start(), dead = FakeBackend.Start();
        private PeerProxy[] peers = [];

        internal PeerProxy Front => peers[0];

        internal PeerProxy Behind => peers[1];

        internal IReadOnlyList<FakeRequest> Calls => [.. openAi.Calls, .. ollama.Calls, .. reranks.Calls, .. embeds.Calls];

        public async ValueTask InitializeAsync()
        {
            openAi.Pages["/v1/models"] = """{"object":"list","data":[{"id":"gpt","object":"model","created":1795000000"""
                + ""","owned_by":"vllm","max_model_len":32768},{"id":"org/other","object":"model"}]}""";
            openAi.Answer(static exchange => AnswerOpenAiAsync(exchange));
            ollama.Pages["/api/version"] = """{"version":"0.12.11"}""";
            ollama.Pages["/api/tags"] =
                """{"models":[{"name":"llama3:latest","model":"llama3:latest","modified_at":"2026-01-02T03:04:05.678901234Z","size":4661224676"""
                + ""","digest":"abc","details":{"parent_model":"","format":"gguf","family":"llama","families":["llama"],"parameter_size":"8.0B"""
                + "\",\"quantization_level\":\"Q4_0\"}}]}";
            ollama.Pages["/api/ps"] = """{"models":[{"name":"llama3:latest","model":"llama3:latest","size":5137025024,"digest":"abc","details":"""
                + """{"family":"llama"},"expires_at":"2026-06-04T14:38:31.83753Z","size_vram":5137025024,"context_length":8192}]}""";
            ollama.Questions["/api/show"] = """{"modelfile":"FROM llama3","details":{"family":"llama"},"model_info":"""
                + """{"general.architecture":"llama","llama.context_length":131072},"capabilities":["completion","tools"]}""";
            ollama.Answer(static exchange => AnswerOllamaAsync(exchange));
            reranks.Pages["/info"] = Tei;
            reranks.Answer(static exchange => exchange.JsonAsync(exchange.Request.Target.StartsWith("/rerank", StringComparison.Ordinal)
                ? """[{"index":1,"score":0.9},{"index":0,"score":0.1}]""" : """[[{"id":101,"text":"[CLS]","special":true,"start":null,"stop":null}]]"""));
            embeds.Pages["/info"] = TeiEmbeds;
            embeds.Answer(static exchange => exchange.JsonAsync(exchange.Request.Target.StartsWith("/v1", StringComparison.Ordinal)
                ? """{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.25,0.5]}],"model":"bge-small","usage":"""
                    + """{"prompt_tokens":3,"total_tokens":3}}"""
                : "[[0.25,0.5]]"));
            peers = await PeerProxy.StartAsync(2);
            Front.Configure(PeerProxy.NoModels + PeerProxy.Backend("behind", peers[1].Url));
            Behind.Configure("[aliases]\nfast = \"gpt\"\n" + PeerProxy.NoModels
                + PeerProxy.Backend("openai", openAi.Url, "dialects = [\"openai\"]") + PeerProxy.Backend("ollama", ollama.Url)
                + PeerProxy.Backend("reranks", reranks.Url) + PeerProxy.Backend("embeds", embeds.Url)
                + PeerProxy.Backend("dead", dead.Url, "models = [\"dead-model\"]\ndialects = [\"openai\"]"));
            dead.Pages["/v1/models"] = """{"object":"list","data":[{"id":"dead-model"}]}""";
            await Behind.ProbeAsync();
            await Front.ProbeAsync();
            dead.Refuse();
        }

        public async ValueTask DisposeAsync()
        {
            foreach (var peer in peers) await peer.DisposeAsync();
            foreach (var host in (FakeBackend[])[openAi, ollama, reranks, embeds, dead]) await host.DisposeAsync();
        }

        private static Task AnswerOpenAiAsync(FakeExchange exchange)
        {
            var request = exchange.Request;
            if (request.Target is "/v1/audio/speech") return exchange.WholeAsync(200, "audio/mpeg", "not really music");
            if (request.Text.Contains("REFUSE", StringComparison.Ordinal))
            {
                return exchange.JsonAsync(OpenAi.Error("this is too long", "invalid_request_error", "\"context_length_exceeded\""), 400);
            }

            if (request.Text.Contains("FAIL", StringComparison.Ordinal)) return exchange.JsonAsync(OpenAi.Error("out of memory"), 500);
            if (request.Text.Contains("BUSY", StringComparison.Ordinal)) return exchange.JsonAsync(OpenAi.Error("too many requests"), 429, "Retry-After: 7");
            if (request.Target is "/v1/embeddings")
            {
                return exchange.JsonAsync("""{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.25,0.5]}],"model":"gpt","usage":"""
                    + """{"prompt_tokens":3,"total_tokens":3}}""");
            }

            if (request.Text.Contains("BREAK", StringComparison.Ordinal)) return BreakAsync(exchange);
            return request.Text.Contains("\"stream\":true", StringComparison.Ordinal)
                ? StreamAsync(exchange, OpenAi.Sse, OpenAi.Stream("one", " two")) : exchange.JsonAsync(OpenAi.Whole("one two"));
        }

        private static Task AnswerOllamaAsync(FakeExchange exchange) => exchange.Request.Target switch
        {
            "/api/embed" => exchange.JsonAsync("""{"model":"llama3","embeddings":[[0.25,0.5]],"total_duration":1,"load_duration":1,"prompt_eval_count":3}"""),
            "/api/generate" => exchange.Request.Text.Contains("\"stream\":false", StringComparison.Ordinal)
                ? exchange.JsonAsync(Ollama.LastPiece("one two"))
                : StreamAsync(exchange, Ollama.Lines, [Ollama.Piece("one"), Ollama.LastPiece()]),
            "/api/pull" => StreamAsync(exchange, Ollama.Lines, ["{\"status\":\"pulling\"}\n", "{\"status\":\"success\"}\n"]),
            _ => exchange.Request.Text.Contains("\"stream\":false", StringComparison.Ordinal)
                ? exchange.JsonAsync(Ollama.Last(text: "one two"))
                : StreamAsync(exchange, Ollama.Lines, Ollama.Stream("one", " two")),
        };

        private static async Task StreamAsync(FakeExchange exchange, string type, string[] frames)
        {
            await exchange.HeadAsync(type);
            foreach (var frame in frames) await exchange.ChunkAsync(frame);
            await exchange.EndAsync();
        }

        private static async Task BreakAsync(FakeExchange exchange)
        {
            await exchange.HeadAsync(OpenAi.Sse);
            await exchange.ChunkAsync(OpenAi.Role() + OpenAi.Token("one"));
        }
    }

    public static TheoryData<string, string, string> Surfaces()
    {
        var data = new TheoryData<string, string, string>();
        foreach (var model in (string[])["gpt", "llama3", "fast", "org/other", "unknown"])
        {
            foreach (var stream in (bool[])[false, true])
            {
                data.Add("POST", "/v1/chat/completions", OpenAi.Request(model, stream, stream ? ",\"stream_options\":{\"include_usage\":true}" : ""));
                data.Add("POST", "/v1/completions", $$"""{"model":"{{model}}","prompt":"hello","stream":{{(stream ? "true" : "false")}}}""");
                data.Add("POST", "/v1/responses", $$"""{"model":"{{model}}","input":"hello","stream":{{(stream ? "true" : "false")}}}""");
                data.Add("POST", "/v1/messages", Anthropic.Request(model, stream));
                data.Add("POST", "/api/chat", Ollama.Request(model, stream));
                data.Add("POST", "/api/generate", $$"""{"model":"{{model}}","prompt":"hello","stream":{{(stream ? "true" : "false")}}}""");
                foreach (var word in (string[])["REFUSE", "FAIL", "BUSY"]) data.Add("POST", "/v1/chat/completions", OpenAi.Request(model, stream, text: word));
            }

            data.Add("POST", "/api/generate", $$"""{"model":"{{model}}"}""");
            data.Add("POST", "/v1/embeddings", $$"""{"model":"{{model}}","input":"hello"}""");
            data.Add("POST", "/api/embed", $$"""{"model":"{{model}}","input":"hello"}""");
            data.Add("POST", "/api/embeddings", $$"""{"model":"{{model}}","prompt":"hello"}""");
            data.Add("POST", "/v1/messages/count_tokens", Anthropic.Request(model));
            data.Add("POST", "/v1/responses/input_tokens", $$"""{"model":"{{model}}","input":"hello"}""");
            data.Add("POST", "/api/show", $$"""{"model":"{{model}}"}""");
            data.Add("GET", "/v1/models/" + model, "");
        }

        foreach (var word in (string[])["REFUSE", "FAIL", "BUSY", "BREAK"])
        {
            data.Add("POST", "/v1/messages", Anthropic.Request("gpt", true, text: word));
            data.Add("POST", "/api/chat", Ollama.Request("gpt", true, text: word));
            data.Add("POST", "/v1/responses", $$"""{"model":"gpt","input":"{{word}}","stream":true}""");
        }

        data.Add("POST", "/v1/chat/completions", OpenAi.Request("gpt", true, text: "BREAK"));
        data.Add("POST", "/v1/chat/completions", OpenAi.Request("dead-model"));
        data.Add("POST", "/v1/chat/completions", """{"model":"gpt","messages":7}""");
        data.Add("POST", "/v1/chat/completions", """{"model":"gpt","messages":[""");
        data.Add("POST", "/v1/audio/speech", """{"model":"gpt","input":"hello"}""");
        data.Add("POST", "/rerank", """{"query":"q","texts":["a","b"]}""");
        data.Add("POST", "/rerank", """{"query":"q","texts":["a","b"],"return_text":true,"raw_scores":true}""");
        data.Add("POST", "/rerank", """{"query":"q","documents":["a","b"],"top_n":1}""");
        data.Add("POST", "/rerank", "{}");
        foreach (var path in (string[])["/v1/rerank", "/v2/rerank"])
        {
            data.Add("POST", path, """{"model":"bge-reranker","query":"q","documents":["a","b"]}""");
            data.Add("POST", path, """{"query":"q","documents":["a",{"text":"b"}],"return_documents":true}""");
            data.Add("POST", path, """{"model":"bge-small","query":"q","documents":["a","b"]}""");
        }

        data.Add("POST", "/score", """{"model":"bge-reranker","text_1":"q","text_2":["a","b"]}""");
        data.Add("POST", "/embed", """{"inputs":["hello"]}""");
        data.Add("POST", "/embed", """{"inputs":[]}""");
        data.Add("POST", "/embed_all", """{"inputs":["hello"]}""");
        data.Add("POST", "/tokenize", """{"inputs":["hello"]}""");
        data.Add("POST", "/similarity", """{"inputs":{"source_sentence":"a","sentences":["b"]}}""");
        data.Add("POST", "/v1/embeddings", """{"model":"bge-small","input":"hello"}""");
        data.Add("POST", "/v1/embeddings", """{"model":"bge-small","input":"hello","encoding_format":"base64"}""");
        data.Add("POST", "/api/embed", """{"model":"bge-small","input":"hello"}""");
        data.Add("POST", "/api/pull", """{"model":"llama3"}""");
        foreach (var path in (string[])
            ["/v1/models", "/api/tags", "/api/ps", "/api/version", "/info", "/info?model=bge-small", "/v1/nothing", "/v1/models/none"])
        {
            data.Add("GET", path, "");
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(Surfaces))]
    public async Task Proxy_in_front_of_a_proxy_Answers_as_one(string method, string path, string body)
    {
        var one = await SendAsync(chain.Behind, method, path, body);
        var two = await SendAsync(chain.Front, method, path, body);

        // The front proxy asks the other for a stream's counts, as it asks every host; OpenAI's chunks then have a null usage.
        Assert.Equal(WithoutNone(one), WithoutNone(two));
        if (path == "/v1/models") two = await chain.Front.GetAsync(path, "anthropic-version: 2023-06-01");
        Assert.DoesNotContain("\"ways\"", two.Text);

        static string WithoutNone(RawReply reply) => Plain(reply).Replace(",\"usage\":null}\n", "}\n", StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("POST", "/v1/embeddings", """{"model":"all-minilm-q4","input":["hello","world"]}""")]
    [InlineData("POST", "/api/embed", """{"model":"all-minilm","input":"hello"}""")]
    [InlineData("POST", "/embed", """{"inputs":"hello"}""")]
    [InlineData("POST", "/tokenize", """{"inputs":"hello"}""")]
    [InlineData("POST", "/predict", """{"inputs":"hello"}""")]
    [InlineData("POST", "/rerank", """{"query":"a","texts":["b","a"]}""")]
    [InlineData("POST", "/rerank", """{"query":"a","documents":["b","a"]}""")]
    [InlineData("POST", "/v1/rerank", """{"query":"a","documents":["b","a"],"return_documents":true}""")]
    [InlineData("POST", "/v1/rerank", """{"model":"all-minilm-q4","query":"a","documents":["b","a"]}""")]
    [InlineData("POST", "/v1/chat/completions", """{"model":"all-minilm-q4","messages":[{"role":"user","content":"hello"}]}""")]
    [InlineData("GET", "/info", "")]
    [InlineData("GET", "/v1/models", "")]
    [InlineData("GET", "/api/tags", "")]
    public async Task Proxy_behind_has_a_model_in_its_process_It_answers_as_there(string method, string path, string body)
    {
        var peers = await PeerProxy.StartAsync(2);
        await using var behind = peers[1].Configure("");
        await using var front = peers[0].Configure("[[backends]]\nname = \"echo\"\nurl = \"builtin:echo\"\nmodels = [\"echo\"]\n"
            + PeerProxy.Backend("behind", behind.Url) + PeerProxy.NoModels);
        await front.ProbeAsync();

        var one = await SendAsync(behind, method, path, body);
        var two = await SendAsync(front, method, path, body);

        Assert.Equal(Plain(one), Plain(two));
    }

    [Fact]
    public async Task Call_passes_two_proxies_It_is_one_trace_and_says_by_which_way_it_came()
    {
        const string Parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        var reply = await chain.Front.PostAsync("/v1/chat/completions", OpenAi.Request("gpt", text: "traced"), "x-correlation-id: my-flow",
            $"traceparent: {Parent}", "tracestate: a=b", "anthropic-beta: x");

        Assert.Equal(200, reply.Status);
        var call = chain.Calls.Last(call => call.Text.Contains("traced", StringComparison.Ordinal));
        Assert.Equal(("my-flow", Parent, "a=b", "x"),
            (call.Header("x-correlation-id"), call.Header("traceparent"), call.Header("tracestate"), call.Header("anthropic-beta")));
        Assert.Equal($"1.1 {chain.Front.Id}, 1.1 {chain.Behind.Id}", call.Header("via"));
    }

    [Fact]
    public async Task Session_of_a_call_Is_told_to_a_proxy_and_to_no_other_host()
    {
        await using var told = FakeBackend.Start();
        var peers = await PeerProxy.StartAsync(1);
        await using var peer = peers[0].Configure(PeerProxy.NoModels + PeerProxy.Backend("told", told.Url, "models = [\"m\"]\ndialects = [\"openai\"]"));
        told.Answer(static exchange => exchange.JsonAsync(OpenAi.Whole("x")));
        var backend = peer.Parts.Directory.Table.All.Single();

        await peer.PostAsync("/v1/chat/completions", OpenAi.Request("m"), "x-session-id: s");
        backend.State.Report = new([], [], null, HostReport.ProxyKind) { ProxyId = "proxy-0123456789abcdef" };
        await peer.PostAsync("/v1/chat/completions", OpenAi.Request("m"), "x-session-id: s");

        Assert.Equal([null, "s"], told.Calls.Select(static call => call.Header("x-session-id")));
    }

    [Fact]
    public void Proxy_behind_Is_known_as_one_and_speaks_every_dialect()
    {
        var backend = chain.Front.Parts.Directory.Table.All.Single();

        Assert.Equal((chain.Behind.Id, HostReport.ProxyKind), (backend.ProxyId, backend.State.Report!.Kind));
        Assert.Equal(["openai", "responses", "ollama", "anthropic", "tei"], backend.Families.Select(DialectNames.Name));
    }

    private static Task<RawReply> SendAsync(PeerProxy peer, string method, string path, string body) =>
        method == "GET" ? peer.GetAsync(path) : peer.PostAsync(path, body);

    /// <summary>An answer without the ids of the call and without the date.</summary>
    private static string Plain(RawReply reply)
    {
        var headers = reply.Headers.Where(static header => header.Name.ToLowerInvariant() is not (
            "date" or "x-trace-id" or "x-correlation-id" or "x-request-id" or "request-id" or "traceparent" or "x-proxy-id" or "transfer-encoding"))
            .Select(static header => $"{header.Name.ToLowerInvariant()}: {header.Value}").Order();
        return Ids().Replace($"{reply.Status} whole={reply.Whole}\n{string.Join('\n', headers)}\n{reply.Text}", "ID");
    }

    [GeneratedRegex("[0-9A-HJKMNP-TV-Z]{26}|(?<=_)[0-9a-f]{24,}|(?<=\"(total|load|prompt_eval|eval)_duration\":)\\d+")]
    private static partial Regex Ids();
}
