using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Proxy.Backends;
using Proxy.Chat;
using Proxy.Config;
using Proxy.Tests.Config;
using Proxy.Transport;

namespace Proxy.Tests.Backends;

public sealed class HostProbeTests
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_llama_cpp_host_Tells_its_slots_and_the_context_of_one()
    {
        await using var host = new RecordedHost().Recorded("/v1/models", "llama.cpp/models.http").Recorded("/props", "llama.cpp/props.http");

        var report = await AskAsync(host);

        Assert.Equal(("llama.cpp", 4), (report.Kind, report.Slots));
        Assert.Equal([DialectFamily.OpenAi], report.Dialects);
        // The host's listing has 32768 (all slots together) and 131072 (training); one call gets the 8192 of a slot.
        Assert.Equal(("tiny-bigram", 8192), (Assert.Single(report.Models).Name, report.Models[0].ContextLength));
    }

    [Theory]
    [InlineData("/api/tags")]
    [InlineData("/v1/responses")]
    [InlineData("")] // every question
    public async Task This_process_lacks_a_descriptor_for_a_question_Nothing_is_concluded_of_the_host(string unasked)
    {
        using var http = new HttpMessageInvoker(new Shortage(unasked));

        var problem = await Assert.ThrowsAsync<HostProbeException>(() => HostProbe.AskAsync(new BackendConfig { Name = "a", Url = "http://a" }, http, null,
            Cancellation));

        Assert.True(problem.IsOurs);
    }

    /// <summary>Answers as an OpenAI host, except for the questions for which the process has no file descriptor.</summary>
    private sealed class Shortage(string path) : HttpMessageHandler
    {
        protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken) =>
            request.RequestUri!.AbsolutePath.StartsWith(path, StringComparison.Ordinal)
                ? Task.FromException<HttpResponseMessage>(new HttpRequestException(HttpRequestError.ConnectionError, "no",
                    new SocketException((int)SocketError.TooManyOpenSockets)))
                : Task.FromResult(request.RequestUri.AbsolutePath == "/v1/models"
                    ? new HttpResponseMessage(HttpStatusCode.OK) { Content = new StringContent("""{"object":"list","data":[{"id":"m","object":"model"}]}""") }
                    : new HttpResponseMessage(HttpStatusCode.NotFound) { Content = new StringContent("{}") });
    }

    [Fact]
    public async Task A_llama_cpp_host_without_props_Is_known_by_its_slots()
    {
        await using var host = new RecordedHost().Recorded("/v1/models", "llama.cpp/models.http").Recorded("/props", "llama.cpp/notfound.http")
            .Recorded("/slots", "llama.cpp/slots.http");

        var report = await AskAsync(host);

        Assert.Equal(("llama.cpp", 4, 8192), (report.Kind, report.Slots, report.Models[0].ContextLength));
    }

    [Fact]
    public async Task An_ollama_host_Is_reached_by_its_own_dialect_though_it_offers_another()
    {
        await using var host = new RecordedHost().Recorded("/api/version", "ollama/version.http").Recorded("/api/tags", "ollama/tags.http")
            .Recorded("/api/ps", "ollama/ps.loaded.http").Recorded("/v1/models", "ollama/v1.models.http").Recorded("/props", "ollama/path.unknown.http");

        var report = await AskAsync(host);

        Assert.Equal("ollama", report.Kind);
        Assert.Equal([DialectFamily.Ollama], report.Dialects);
        Assert.Equal(["embed:latest", "tiny:latest", "agent:latest"], report.Models.Select(model => model.Name));
        // A loaded model reports the context it was loaded with. For the others only the training context is known, which is not listed.
        Assert.Equal([(null, false), (2048, true), (null, false)], report.Models.Select(model => (model.ContextLength, model.Loaded)));
    }

    [Fact]
    public async Task An_ollama_hosts_listing_Is_kept_as_it_came()
    {
        await using var host = new RecordedHost().Recorded("/api/tags", "ollama/tags.http");

        var report = await AskAsync(host, DialectFamily.Ollama);

        var details = report.Models[1].Details!.Value;
        Assert.Equal("6adf208b3eae3e1861802a6ebf8e2c5bf51497ff288c0de1003b481526709060", details.GetProperty("digest").GetString());
        Assert.Equal(("2026-11-23T06:33:21.846446777Z", 5021861L), (details.GetProperty("modified_at").GetString(), details.GetProperty("size").GetInt64()));
        Assert.Equal("F16", details.GetProperty("details").GetProperty("quantization_level").GetString());
        Assert.Equal("completion", details.GetProperty("capabilities")[0].GetString());
        Assert.All(report.Models, model => Assert.Null(model.Loaded));
    }

    [Theory]
    [InlineData("tei/embed.info.http", "all-MiniLM-L6-v2-q4", 256, true)]
    [InlineData("tei/rerank.info.http", "tiny-wordpiece-rerank", 512, false)]
    public async Task A_TEI_host_Speaks_OpenAI_only_where_it_embeds(string recording, string model, int length, bool embeds)
    {
        await using var host = new RecordedHost().Recorded("/info", recording).Recorded("/v1/models", "tei/embed.not_found.http");

        var report = await AskAsync(host);

        Assert.Equal(("tei", embeds), (report.Kind, report.Dialects.Contains(DialectFamily.OpenAi)));
        Assert.Contains(DialectFamily.Tei, report.Dialects);
        Assert.Equal((model, length, true), (Assert.Single(report.Models).Name, report.Models[0].ContextLength, report.Models[0].Loaded));
    }

    [Fact]
    public async Task A_vLLM_host_Tells_each_models_length()
    {
        await using var host = new RecordedHost().Json("/v1/models", """
            {"object":"list","data":[{"id":"qwen","object":"model","owned_by":"vllm","max_model_len":40960},{"id":"lora","object":"model","owned_by":"vllm","max_model_len":40960},{"object":"model"},7]}
            """);

        var report = await AskAsync(host);

        Assert.Equal(("vllm", (int?)null), (report.Kind, report.Slots));
        Assert.Equal([("qwen", 40960, true), ("lora", 40960, true)], report.Models.Select(model => (model.Name, model.ContextLength, model.Loaded)));
    }

    [Fact]
    public async Task A_host_of_several_models_Is_not_given_one_context_for_all()
    {
        await using var host = new RecordedHost().Recorded("/props", "llama.cpp/props.http")
            .Json("/v1/models", """{"data":[{"id":"a","owned_by":"llamacpp","status":{"value":"loaded"}},{"id":"b","owned_by":"llamacpp","status":{"value":"unloaded"},"meta":{"n_ctx_train":131072}}]}""");

        var report = await AskAsync(host);

        Assert.Equal([("a", null, true), ("b", null, false)], report.Models.Select(model => (model.Name, model.ContextLength, model.Loaded)));
    }

    [Fact]
    public async Task Families_that_are_named_Are_not_asked_for()
    {
        await using var host = new RecordedHost().Recorded("/v1/models", "llama.cpp/models.http").Recorded("/api/version", "ollama/version.http")
            .Recorded("/api/tags", "ollama/tags.http");

        var report = await AskAsync(host, DialectFamily.OpenAi, DialectFamily.Responses);

        Assert.Equal([DialectFamily.OpenAi, DialectFamily.Responses], report.Dialects);
        Assert.DoesNotContain(host.Paths, path => path.StartsWith("/api", StringComparison.Ordinal) || path == "/info");
        Assert.Equal("tiny-bigram", Assert.Single(report.Models).Name);
    }

    [Fact]
    public async Task A_named_family_without_a_listing_Is_up_with_nothing_listed()
    {
        await using var host = new RecordedHost();

        var report = await AskAsync(host, DialectFamily.OpenAi);

        Assert.Equal([DialectFamily.OpenAi], report.Dialects);
        Assert.Empty(report.Models);
    }

    [Theory]
    [InlineData("", "/v1/models")]
    [InlineData("/", "/v1/models")]
    [InlineData("/v1", "/v1/models")]
    [InlineData("/v1/", "/v1/models")]
    [InlineData("/llm", "/llm/v1/models")]
    [InlineData("/llm/v1", "/llm/v1/models")]
    public async Task The_urls_path_Goes_before_the_question_and_v1_is_not_doubled(string path, string asked)
    {
        await using var host = new RecordedHost().Recorded(asked, "llama.cpp/models.http");

        var report = await AskAsync(new BackendConfig { Name = "host", Url = host.Url + path, Dialects = [DialectFamily.OpenAi] });

        Assert.Single(report.Models);
        Assert.Contains(asked, host.Paths);
    }

    [Fact]
    public async Task The_key_and_the_headers_Go_with_every_question()
    {
        await using var host = new RecordedHost().Recorded("/v1/models", "llama.cpp/models.http");

        await AskAsync(new BackendConfig { Name = "host", Url = host.Url, Key = "s3cret", Headers = new Dictionary<string, string> { ["x-team"] = "search" } });

        Assert.NotEmpty(host.Asked);
        Assert.All(host.Asked, head => Assert.Contains("Authorization: Bearer s3cret\r\n", head, StringComparison.Ordinal));
        Assert.All(host.Asked, head => Assert.Contains("x-team: search\r\n", head, StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_host_that_is_not_there_Is_refused_with_the_reason()
    {
        using var taken = new TcpListener(IPAddress.Loopback, 0);
        taken.Start();
        var url = $"http://{taken.LocalEndpoint}";
        taken.Stop();

        Assert.Equal("connection refused", await ReasonAsync(new() { Name = "host", Url = url }));
    }

    [Fact]
    public async Task A_host_that_will_not_serve_us_Is_refused_with_its_reason()
    {
        await using var locked = new RecordedHost().Json("/v1/models", """{"error":{"message":"no key"}}""", 401);
        await using var loading = new RecordedHost().Json("/v1/models", """{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}""", 503);
        await using var strange = new RecordedHost().Raw("/v1/models", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>");
        await using var garbage = new RecordedHost().Raw("/v1/models", "220 smtp\r\n");

        Assert.Equal("wants a key (401 at /v1/models); write key or key_file", await ReasonAsync(new() { Name = "host", Url = locked.Url }));
        Assert.Equal("refuses the configured key (401 at /v1/models)", await ReasonAsync(new() { Name = "host", Url = locked.Url, Key = "k" }));
        Assert.Equal("answers 503 at /v1/models: Loading model", await ReasonAsync(new()
        {
            Name = "host",
            Url = loading.Url,
            Dialects = [DialectFamily.OpenAi]
        }));
        Assert.StartsWith("answers, but lists no models", await ReasonAsync(new() { Name = "host", Url = strange.Url }), StringComparison.Ordinal);
        Assert.StartsWith("answers, but lists no models", await ReasonAsync(new() { Name = "host", Url = garbage.Url }), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("https://ai.example/v1/models", "answers 301 at /v1/models and points to https://ai.example/v1/models; write url = \"https://ai.example\"")]
    [InlineData("/login?next=1", "answers 301 at /v1/models and points to {0}/login; write a url that answers without a redirect")]
    [InlineData("/v1/models/", "answers 301 at /v1/models and points to {0}/v1/models/; write a url that answers without a redirect")]
    public async Task A_host_that_points_elsewhere_Is_refused_with_where_it_points(string location, string reason)
    {
        await using var moved = new RecordedHost().Raw("/v1/models", $"HTTP/1.1 301 Moved Permanently\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");

        var expected = reason.Replace("{0}", moved.Url, StringComparison.Ordinal);
        Assert.Equal(expected, await ReasonAsync(new() { Name = "host", Url = moved.Url }));
        Assert.Equal(expected, await ReasonAsync(new() { Name = "host", Url = moved.Url + "/v1", Dialects = [DialectFamily.OpenAi] }));
    }

    [Fact]
    public async Task A_TLS_host_Is_trusted_by_its_authority_or_not_looked_at()
    {
        await using var host = new RecordedHost(certificate: Toml.Certificate()).Recorded("/v1/models", "llama.cpp/models.http");
        var backend = new BackendConfig { Name = "host", Url = host.Url };

        var unknown = await ReasonAsync(backend);
        var known = await AskAsync(backend with { Ca = new("/ca.pem", Toml.CertPem) });
        var lenient = await AskAsync(backend with { TlsVerify = false });

        Assert.StartsWith("TLS failed: ", unknown, StringComparison.Ordinal);
        Assert.Single(known.Models);
        Assert.Single(lenient.Models);
    }

    [Fact]
    public async Task The_caller_giving_up_Is_a_cancellation()
    {
        using var silent = new TcpListener(IPAddress.Loopback, 0);
        silent.Start();
        using var given = new CancellationTokenSource();
        var backend = new BackendConfig { Name = "host", Url = $"http://{silent.LocalEndpoint}" };
        using var host = HostHttp.Create(BackendDirectory.Target(backend), TimeProvider.System);

        var asking = HostProbe.AskAsync(backend, host, null, given.Token);
        using var reached = await silent.AcceptTcpClientAsync(Cancellation);
        await given.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => asking);
    }

    [Fact]
    public async Task Props_of_llama_cpp_Tell_what_its_model_can_do()
    {
        await using var recorded = new RecordedHost().Recorded("/v1/models", "llama.cpp/models.http").Recorded("/props", "llama.cpp/props.http");
        await using var newer = new RecordedHost().Recorded("/v1/models", "llama.cpp/models.http").Json("/props", """
            {"default_generation_settings":{"n_ctx":4096},"total_slots":1,"chat_template":"x","chat_template_caps":{"supports_tools":false,"supports_enable_thinking":true},"modalities":{"vision":true,"audio":false},"build_info":"b9000-abc"}
            """);

        var (model, report) = ((await AskAsync(recorded)).Models[0], await AskAsync(newer));

        // The template mentions tools, although the list of capabilities is empty.
        Assert.Equal(["completion", "tools"], model.Traits.Capabilities);
        Assert.Equal((ModelKind.Chat, true, "8.92M", 17846272L, 1024),
            (model.Traits.Kind, model.Loaded, model.Traits.ParameterSize, model.Traits.Size, model.Traits.EmbeddingLength));
        Assert.StartsWith("{%- if tools %}", model.Traits.Template, StringComparison.Ordinal);
        Assert.Equal(["completion", "vision", "thinking"], report.Models[0].Traits.Capabilities);
        Assert.Equal("b9000-abc", report.Version);
    }

    [Fact]
    public async Task Dialects_beside_OpenAIs_Are_learned_from_routes_that_take_another_method()
    {
        await using var vllm = Vllm().Json("/v1/responses", """{"detail":"Method Not Allowed"}""", 405)
            .Json("/v1/messages", """{"detail":"Method Not Allowed"}""", 405).Json("/version", """{"version":"0.11.2"}""");
        await using var older = Vllm().Json("/v1/responses", """{"detail":"Method Not Allowed"}""", 405);
        await using var deaf = Vllm().Json("/v1/responses", "{}", 405).Json("/v1/messages", "{}", 405).Json("/v1/no-such-route", "{}", 405);

        var report = await AskAsync(vllm);

        Assert.Equal([DialectFamily.OpenAi, DialectFamily.Responses, DialectFamily.Anthropic], report.Dialects);
        Assert.Equal(("vllm", "0.11.2", true), (report.Kind, report.Version, report.IsLearned));
        Assert.Equal([DialectFamily.OpenAi, DialectFamily.Responses], (await AskAsync(older)).Dialects);
        Assert.Equal([DialectFamily.OpenAi], (await AskAsync(deaf)).Dialects);
    }

    [Fact]
    public async Task Dialects_of_llama_cpp_Are_learned_from_how_it_refuses_nothing()
    {
        await using var host = new RecordedHost().Recorded("/v1/models", "llama.cpp/models.http").Recorded("/props", "llama.cpp/props.http")
            .Json("/v1/messages", """{"error":{"code":400,"message":"'messages' is required","type":"invalid_request_error"}}""", 400);

        var report = await AskAsync(host);

        Assert.Equal([DialectFamily.OpenAi, DialectFamily.Anthropic], report.Dialects);
        // An empty object is sent, so the host neither generates anything nor loads a model.
        Assert.All(host.Asked.Where(request => request.StartsWith("POST ", StringComparison.Ordinal)),
            request => Assert.EndsWith("\r\n\r\n{}", request, StringComparison.Ordinal));
    }

    [Fact]
    public async Task What_was_learned_of_the_same_program_Is_not_asked_again()
    {
        await using var host = Vllm().Json("/v1/messages", "{}", 405).Json("/version", """{"version":"0.11.2"}""");
        var before = await AskAsync(host);
        var asked = host.Paths.Count(path => path == "/v1/messages");

        var again = await AskAsync(host, before);
        var upgraded = await AskAsync(host, before with { Version = "0.11.1", Dialects = [DialectFamily.OpenAi] });

        Assert.Equal([DialectFamily.OpenAi, DialectFamily.Anthropic], again.Dialects);
        Assert.Equal([DialectFamily.OpenAi, DialectFamily.Anthropic], upgraded.Dialects);
        Assert.Equal((1, 2), (asked, host.Paths.Count(path => path == "/v1/messages")));
    }

    [Fact]
    public async Task Show_of_ollama_Tells_of_each_model_and_is_asked_once_a_digest()
    {
        await using var host = new RecordedHost().Recorded("/api/version", "ollama/version.http").Recorded("/api/tags", "ollama/tags.http")
            .Recorded("/api/ps", "ollama/ps.loaded.http").Json("/api/show", """
            {"parameters":"stop                           \"<|x|>\"\nnum_ctx                        16384","template":"{{ .Prompt }}{{ .Suffix }}","details":{"family":"llama","format":"gguf"},
             "model_info":{"general.architecture":"llama","llama.context_length":131072,"llama.embedding_length":64},"capabilities":["completion","tools","insert"]}
            """);

        var before = await AskAsync(host);
        var shown = host.Asked.Count(request => request.StartsWith("POST /api/show ", StringComparison.Ordinal));
        var again = await AskAsync(host, before);
        var changed = await AskAsync(host, before with { Models = [before.Models[0] with { ShownDigest = "old" }, .. before.Models.Skip(1)] });

        Assert.Equal(3, shown);
        Assert.Equal(4, host.Asked.Count(request => request.StartsWith("POST /api/show ", StringComparison.Ordinal)));
        Assert.Contains(host.Asked, request => request.EndsWith("""{"model":"agent:latest"}""", StringComparison.Ordinal));
        foreach (var report in new[] { before, again, changed })
        {
            // A running model reports the context that it was loaded with, the others the value in their model files.
            Assert.Equal([16384, 2048, 16384], report.Models.Select(model => model.ContextLength));
            Assert.All(report.Models, model => Assert.Equal(["completion", "tools", "insert"], model.Traits.Capabilities));
            Assert.Equal((64, "llama"), (report.Models[0].Traits.EmbeddingLength, report.Models[0].Traits.Architecture));
            Assert.Equal(5021664, report.Models[1].Traits.Running!.Value.GetProperty("size_vram").GetInt64());
            Assert.Null(report.Models[0].Traits.Running);
        }
    }

    [Fact]
    public async Task LM_Studio_Tells_kind_context_and_what_is_loaded_in_either_of_its_listings()
    {
        const string Listing = """{"object":"list","data":[{"id":"qwen2-vl","object":"model","owned_by":"organization_owner"},{"id":"nomic","object":"model","owned_by":"organization_owner"}]}""";
        const string Unexpected = """{"error":"Unexpected endpoint or method. (GET /props). Returning 200 anyway"}""";
        await using var older = new RecordedHost().Json("/v1/models", Listing).Json("/props", Unexpected).Json("/info", Unexpected)
            .Json("/api/version", Unexpected).Json("/api/tags", Unexpected).Json("/api/v0/models", """
            {"object":"list","data":[{"id":"qwen2-vl","type":"vlm","arch":"qwen2_vl","compatibility_type":"gguf","quantization":"Q4_K_M","state":"loaded","max_context_length":32768,"loaded_context_length":4096,"capabilities":["tool_use"]},
             {"id":"nomic","type":"embeddings","arch":"nomic-bert","state":"not-loaded","max_context_length":2048}]}
            """);
        await using var newer = new RecordedHost().Json("/v1/models", Listing).Json("/v1/messages", """{"type":"error"}""", 400)
            .Json("/v1/responses", Unexpected).Json("/v1/no-such-route", Unexpected).Json("/api/v1/models", """
            {"models":[{"type":"llm","key":"qwen2-vl","architecture":"qwen2_vl","quantization":{"name":"Q4_K_M","bits_per_weight":4},"size_bytes":1000,"params_string":"7B","format":"gguf","max_context_length":32768,
              "loaded_instances":[{"id":"qwen2-vl","config":{"context_length":4096}}],"capabilities":{"vision":true,"trained_for_tool_use":true}},
             {"type":"embedding","key":"nomic","architecture":"nomic-bert","loaded_instances":[],"max_context_length":2048}]}
            """);

        var (v0, v1) = (await AskAsync(older), await AskAsync(newer));

        foreach (var report in new[] { v0, v1 })
        {
            Assert.Equal("lmstudio", report.Kind);
            Assert.Equal([(ModelKind.Chat, 4096, 32768, true), (ModelKind.Embed, null, 2048, false)],
                report.Models.Select(model => (model.Traits.Kind!.Value, model.ContextLength, model.ContextLimit!.Value, model.Loaded!.Value)));
            Assert.Equal(["completion", "vision", "tools"], report.Models[0].Traits.Capabilities);
            Assert.Equal(["embedding"], report.Models[1].Traits.Capabilities);
            Assert.Equal(("qwen2_vl", "Q4_K_M", "gguf"),
                (report.Models[0].Traits.Architecture, report.Models[0].Traits.Quantization, report.Models[0].Traits.Format));
        }

        Assert.Equal([DialectFamily.OpenAi], v0.Dialects);
        Assert.Equal([DialectFamily.OpenAi, DialectFamily.Anthropic], v1.Dialects);
    }

    [Fact]
    public async Task Listings_of_other_proxies_Tell_what_their_models_can_do()
    {
        await using var host = new RecordedHost().Json("/v1/models", """
            {"data":[{"id":"a","context_length":1000,"architecture":{"input_modalities":["text","image"]},"supported_parameters":["tools","reasoning"]},{"id":"b","capabilities":["embedding"],"status":{"value":"loaded"}},{"id":"c"}]}
            """);

        var models = (await AskAsync(host)).Models;

        Assert.Equal([["vision", "tools", "thinking"], ["embedding"], []], models.Select(model => model.Traits.Capabilities));
        Assert.Equal([(null, null), (ModelKind.Embed, true), (null, null)], models.Select(model => (model.Traits.Kind, model.Loaded)));
    }

    [Theory]
    [InlineData("tei/embed.info.http", "Embed")]
    [InlineData("tei/rerank.info.http", "Rerank")]
    public async Task A_TEI_host_Tells_what_its_model_is_for(string recording, string kind)
    {
        await using var host = new RecordedHost().Recorded("/info", recording);

        var report = await AskAsync(host);

        Assert.Equal((kind, "1.9.3"), (report.Models[0].Traits.Kind.ToString(), report.Version));
    }

    [Fact]
    public async Task The_echo_Needs_no_asking()
    {
        var report = await AskAsync(BackendConfig.Echo);

        Assert.Equal(("echo", "echo"), (report.Kind, Assert.Single(report.Models).Name));
        Assert.Contains(DialectFamily.Ollama, report.Dialects);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Host_compresses_its_listing_or_puts_a_mark_before_it_Its_models_are_known(bool compresses)
    {
        var json = "\uFEFF" + """{"object":"list","data":[{"id":"qwen","object":"model","owned_by":"vllm"}]}""";
        var packed = new MemoryStream();
        using (Stream output = compresses
            ? new System.IO.Compression.GZipStream(packed, System.IO.Compression.CompressionLevel.Fastest, leaveOpen: true)
            : packed)
            output.Write(System.Text.Encoding.UTF8.GetBytes(json));
        var body = packed.ToArray();
        await using var host = new RecordedHost()
            .Raw("/v1/models", [.. System.Text.Encoding.ASCII.GetBytes("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                + $"{(compresses ? "Content-Encoding: gzip\r\n" : "")}Content-Length: {body.Length}\r\n\r\n"), .. body]);

        Assert.Equal("qwen", Assert.Single((await AskAsync(host, DialectFamily.OpenAi)).Models).Name);
    }

    [Fact]
    public async Task Host_repeats_our_key_in_its_refusal_The_reason_does_not()
    {
        await using var host = new RecordedHost().Json("/v1/models", """{"error":{"message":"the key sk-0123456789 is locked"}}""", 500);

        var reason = await ReasonAsync(new BackendConfig { Name = "host", Url = host.Url, Key = "sk-0123456789", Dialects = [DialectFamily.OpenAi] });

        Assert.Contains("the key [redacted] is locked", reason, StringComparison.Ordinal);
    }

    private static Task<HostReport> AskAsync(RecordedHost host, params DialectFamily[] families) =>
        AskAsync(new BackendConfig { Name = "host", Url = host.Url, Dialects = families.Length == 0 ? null : families });

    private static Task<HostReport> AskAsync(RecordedHost host, HostReport before) => AskAsync(new BackendConfig { Name = "host", Url = host.Url }, before);

    private static RecordedHost Vllm() =>
        new RecordedHost().Json("/v1/models", """{"object":"list","data":[{"id":"qwen","object":"model","owned_by":"vllm","max_model_len":40960}]}""");

    private static async Task<HostReport> AskAsync(BackendConfig backend, HostReport? before = null)
    {
        using var host = HostHttp.Create(BackendDirectory.Target(backend), TimeProvider.System);
        return await HostProbe.AskAsync(backend, host, before, Cancellation);
    }

    private static async Task<string> ReasonAsync(BackendConfig backend) =>
        (await Assert.ThrowsAsync<HostProbeException>(() => AskAsync(backend))).Message;
}
