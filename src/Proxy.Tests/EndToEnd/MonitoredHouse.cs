using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Text;
using System.Text.Json;
using Proxy.Tests.Harness;
using Proxy.Tests.Rules;

namespace Proxy.Tests.EndToEnd;

/// <summary>
/// A Prometheus that scrapes two proxies: one with hosts, a cache, documents and a pipeline, the other with servers that cannot be reached. Calls of every kind
/// are made before and after a scrape, so that every series exists and grows.
/// </summary>
public sealed class MonitoredHouse : IAsyncLifetime
{
    private readonly string folder = Directory.CreateTempSubdirectory("proxy-monitored-").FullName;
    private readonly HttpClient client = new() { Timeout = TimeSpan.FromSeconds(30) };
    private readonly FakeBackend host = FakeBackend.Start(), broken = FakeBackend.Start();
    private ProxyProcess? proxy, cutOff;
    private Process? prometheus;
    private int port;
    private int round;

    /// <summary>The file of the first proxy's bodies.</summary>
    internal string BodiesFile => Path.Combine(folder, "log", "bodies.log");

    /// <summary>The text of the first proxy's metrics after all calls.</summary>
    internal string Text { get; private set; } = "";

    /// <summary>The answer of Prometheus' API at a path with its query: the member <c>data</c>.</summary>
    internal async Task<JsonElement> AskAsync(string path, string query)
    {
        using var response = await client.GetAsync(new Uri($"http://127.0.0.1:{port}/api/v1/{path}?query={Uri.EscapeDataString(query)}"));
        if (response.StatusCode is HttpStatusCode.ServiceUnavailable) throw new HttpRequestException("Prometheus is starting");
        var answer = JsonElement.Parse(await response.Content.ReadAsStringAsync());
        return answer.GetProperty("status").GetString() == "success" ? answer.GetProperty("data")
            : throw new InvalidOperationException($"{query}: {answer.GetProperty("error").GetString()}");
    }

    /// <summary>The values of a query's series now, NaN left out.</summary>
    internal async Task<IReadOnlyList<double>> ValuesAsync(string query) =>
    [
        .. (await AskAsync("query", query)).GetProperty("result").EnumerateArray()
            .Select(static series => double.Parse(series.GetProperty("value")[1].GetString()!, CultureInfo.InvariantCulture)).Where(double.IsFinite),
    ];

    public async ValueTask InitializeAsync()
    {
        host.Answer(AnswerAsync);
        broken.Answer(static exchange =>
        {
            exchange.Reset();
            return Task.CompletedTask;
        });
        host.Pages["/metrics"] = Vllm();
        var job = Path.Combine(folder, "job");
        await File.WriteAllTextAsync(job, "#!/bin/sh\ncat >/dev/null\necho '{\"type\":\"token\",\"text\":\"done\"}'\necho '{\"type\":\"finished\",\"reason\":\"stop\"}'\n");
        File.SetUnixFileMode(job, UnixFileMode.UserRead | UnixFileMode.UserExecute);
        await File.WriteAllTextAsync(Path.Combine(folder, "guide.md"), "# Slots\n\nA backend may run as many generations at a time as it has slots.\n");
        var starts = (ProxyProcess.StartAsync(Full(job)), ProxyProcess.StartAsync(CutOff));
        (proxy, cutOff) = (await starts.Item1, await starts.Item2);
        await StartPrometheusAsync();
        var (code, output) = await proxy.CommandAsync("ingest", "docs", folder);
        if (code != 0) throw new InvalidOperationException(output);

        await CallsAsync();
        await ScrapedAsync();
        host.Pages["/metrics"] = Vllm();
        await CallsAsync();
        await ScrapedAsync();
        Text = await client.GetStringAsync(new Uri(proxy.Address, "/metrics"));
    }

    public async ValueTask DisposeAsync()
    {
        if (prometheus is not null)
        {
            prometheus.Kill();
            await Patience.For(prometheus.WaitForExitAsync(), "the end of Prometheus");
            prometheus.Dispose();
        }

        if (proxy is not null) await proxy.DisposeAsync();
        if (cutOff is not null) await cutOff.DisposeAsync();
        await host.DisposeAsync();
        await broken.DisposeAsync();
        client.Dispose();
        Directory.Delete(folder, recursive: true);
    }

    private string Full(string job) => $"""
        {FrontDoor.Server("queue = 2")}
        [log]
        format = "json"
        bodies = "{BodiesFile}"
        [metrics]
        hosts = true
        [store]
        kind = "sqlite"
        [cache]
        shared = true
        [[pipelines]]
        name = "work"
        launcher = "process"
        command = ["{job}"]
        [[backends]]
        name = "host"
        url = "{host.Url}"
        dialects = ["openai"]
        models = ["tiny", "frail"]
        slots = 1
        [[backends]]
        name = "broken"
        url = "{broken.Url}"
        dialects = ["openai"]
        models = ["frail", "hopeless"]
        weight = 1000
        """;

    private static string CutOff => $"""
        {FrontDoor.Server()}
        [log]
        format = "json"
        [inference]
        bundled = false
        [store]
        kind = "postgres"
        url = "postgres://nobody:x@127.0.0.1:1/none"
        [nats]
        url = "nats://127.0.0.1:1"
        [streams]
        journal = "jetstream"
        """;

    /// <summary>What vLLM says of itself; its counters grow with the rounds.</summary>
    private string Vllm() => $$"""
        # TYPE vllm:num_requests_running gauge
        vllm:num_requests_running{engine="0",model_name="tiny"} 1.0
        vllm:num_requests_waiting{engine="0",model_name="tiny"} 2.0
        vllm:kv_cache_usage_perc{engine="0",model_name="tiny"} 0.25
        vllm:prefix_cache_queries_total{engine="0",model_name="tiny"} {{1000 * (round + 1)}}
        vllm:prefix_cache_hits_total{engine="0",model_name="tiny"} {{900 * (round + 1)}}
        vllm:prompt_tokens_total{engine="0",model_name="tiny"} {{1000 * (round + 1)}}
        """;

    /// <summary>Streams three tokens, slowly enough that calls wait for the slot.</summary>
    private static async Task AnswerAsync(FakeExchange exchange)
    {
        if (!exchange.Request.Json.TryGetProperty("stream", out var stream) || !stream.GetBoolean())
        {
            await exchange.JsonAsync(OpenAi.Whole("fine"));
            return;
        }

        await exchange.HeadAsync(OpenAi.Sse);
        await exchange.ChunkAsync(OpenAi.Role() + OpenAi.Token("one "));
        await Task.Delay(100);
        await exchange.ChunkAsync(OpenAi.Token("two ") + OpenAi.Token("three") + OpenAi.Stop());
        await exchange.ChunkAsync("""data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":"""
            + """{"prompt_tokens":10,"completion_tokens":3,"total_tokens":13,"prompt_tokens_details":{"cached_tokens":6}}}""" + "\n\n" + OpenAi.Done);
        await exchange.EndAsync();
    }

    /// <summary>Makes calls of every kind; those that wait for the slot at the same time.</summary>
    private async Task CallsAsync()
    {
        round++;
        await Task.WhenAll(Enumerable.Range(0, 6).Select(_ => ChatAsync("tiny", stream: true))); // one runs, two wait, three are refused
        var conversation = string.Concat(Enumerable.Repeat("The same beginning of a long conversation. ", 300));
        await ChatAsync("tiny", text: conversation);
        await ChatAsync("tiny", text: conversation + "And then?");
        for (var i = 0; i < 2; i++) await ChatAsync("tiny", text: $"Say it again, round {round}.", headers: ("x-cache", "use"));
        await ChatAsync("tiny", text: "How many generations run at a time?", headers: ("x-workspace", "docs"));
        for (var i = 0; i < 4; i++) await ChatAsync("frail");
        await ChatAsync("hopeless");
        await ChatAsync("pipeline/work");
        await PostAsync("/v1/embeddings", """{"model":"all-minilm-q4","input":["a short text","a text that is a little longer"]}""");
    }

    private Task ChatAsync(string model, bool stream = false, string text = "hello", params (string Name, string Value)[] headers) =>
        PostAsync("/v1/chat/completions", OpenAi.Request(model, stream, ",\"stream_options\":{\"include_usage\":true}", text), headers);

    private async Task PostAsync(string path, string body, params (string Name, string Value)[] headers)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, new Uri(proxy!.Address, path))
        {
            Content = new StringContent(body, Encoding.UTF8, "application/json"),
        };
        foreach (var (name, value) in headers) request.Headers.Add(name, value);
        using var response = await client.SendAsync(request);
        await response.Content.ReadAsByteArrayAsync();
    }

    private async Task StartPrometheusAsync()
    {
        port = ServerTree.FreePort();
        await File.WriteAllTextAsync(Path.Combine(folder, "prometheus.yml"), $"""
            global:
              scrape_interval: 250ms
              scrape_timeout: 250ms
              evaluation_interval: 500ms
            rule_files: ["{Path.Combine(Repository.Root, "packaging/grafana/proxy-alerts.yml")}"]
            scrape_configs:
              - job_name: proxy
                static_configs:
                  - targets: ["{proxy!.Address.Authority}", "{cutOff!.Address.Authority}"]
            """);
        prometheus = Process.Start(new ProcessStartInfo("prometheus", [$"--config.file={folder}/prometheus.yml", $"--storage.tsdb.path={folder}/data",
            $"--web.listen-address=127.0.0.1:{port}", "--log.level=error"])
        {
            WorkingDirectory = folder,
        })!;
        await Patience.Until(async () =>
        {
            try
            {
                return (await ValuesAsync("sum(up)")) is [2];
            }
            catch (HttpRequestException)
            {
                return false;
            }
        }, "Prometheus has scraped both proxies");
    }

    /// <summary>Waits until Prometheus has what the calls of this round and the host's figures have added.</summary>
    private async Task ScrapedAsync()
    {
        await Patience.Until(async () => await ValuesAsync("proxy_host_prefix_queries_total") is [var queries] && queries >= 1000 * round
            && await ValuesAsync("proxy_cache_hits_total > 0") is [var hits] && hits >= round
            && await ValuesAsync("sum(proxy_requests_total)") is [var calls] && calls >= 18 * round, "Prometheus has scraped the round's calls");
    }
}
