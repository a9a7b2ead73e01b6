using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Proxy.Backends;
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
        // Its listing says 32768 (all slots) and 131072 (training); a call gets a slot's 8192.
        Assert.Equal(("tiny-bigram", 8192), (Assert.Single(report.Models).Name, report.Models[0].ContextLength));
    }

    [Fact]
    public async Task A_llama_cpp_host_without_props_Is_known_by_its_slots()
    {
        await using var host = new RecordedHost().Recorded("/v1/models", "llama.cpp/models.http").Recorded("/props", "llama.cpp/notfound.http").Recorded("/slots", "llama.cpp/slots.http");

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
        // What is loaded has the context it was loaded with; of the others only the training's is known, which is not told.
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
        await using var host = new RecordedHost().Recorded("/v1/models", "llama.cpp/models.http").Recorded("/api/version", "ollama/version.http").Recorded("/api/tags", "ollama/tags.http");

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
        Assert.Equal("refuses our key (401 at /v1/models)", await ReasonAsync(new() { Name = "host", Url = locked.Url, Key = "k" }));
        Assert.Equal("answers 503 at /v1/models: Loading model", await ReasonAsync(new() { Name = "host", Url = loading.Url, Dialects = [DialectFamily.OpenAi] }));
        Assert.StartsWith("answers, but lists no models", await ReasonAsync(new() { Name = "host", Url = strange.Url }), StringComparison.Ordinal);
        Assert.StartsWith("answers, but lists no models", await ReasonAsync(new() { Name = "host", Url = garbage.Url }), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_TLS_host_Is_trusted_by_its_authority_or_not_looked_at()
    {
        await using var host = new RecordedHost(certificate: Toml.Certificate()).Recorded("/v1/models", "llama.cpp/models.http");
        var ca = Path.GetTempFileName();
        await File.WriteAllTextAsync(ca, Toml.CertPem, Cancellation);
        var backend = new BackendConfig { Name = "host", Url = host.Url };

        var unknown = await ReasonAsync(backend);
        var known = await AskAsync(backend with { Ca = ca });
        var lenient = await AskAsync(backend with { TlsVerify = false });
        File.Delete(ca);

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
        using var ticker = new CoarseTicker(TimeProvider.System);
        using var host = new HandlerUpstream(BackendDirectory.Target(backend), ticker);

        var asking = HostProbe.AskAsync(backend, host.Invoker, given.Token);
        using var reached = await silent.AcceptTcpClientAsync(Cancellation);
        await given.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => asking);
    }

    [Fact]
    public async Task The_echo_Needs_no_asking()
    {
        var report = await AskAsync(BackendConfig.Echo);

        Assert.Equal(("echo", "echo"), (report.Kind, Assert.Single(report.Models).Name));
        Assert.Contains(DialectFamily.Ollama, report.Dialects);
    }

    private static Task<HostReport> AskAsync(RecordedHost host, params DialectFamily[] families) =>
        AskAsync(new BackendConfig { Name = "host", Url = host.Url, Dialects = families.Length == 0 ? null : families });

    private static async Task<HostReport> AskAsync(BackendConfig backend)
    {
        using var ticker = new CoarseTicker(TimeProvider.System);
        using var host = new HandlerUpstream(BackendDirectory.Target(backend), ticker);
        return await HostProbe.AskAsync(backend, host.Invoker, Cancellation);
    }

    private static async Task<string> ReasonAsync(BackendConfig backend) =>
        (await Assert.ThrowsAsync<HostProbeException>(() => AskAsync(backend))).Message;
}
