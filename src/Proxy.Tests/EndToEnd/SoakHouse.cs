using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>
/// A proxy with everything on (a store, NATS, documents, a pipeline, the cache, traces, keys), and hosts that fail at random. A host answers with the last mark
/// of the request (<c>n-7-n</c>), so that an answer which reached another client is seen.
/// </summary>
internal sealed partial class SoakHouse : IAsyncDisposable
{
    public const string Key = "sk-soak", SmallKey = "sk-soak-small";

    private readonly string folder = Directory.CreateTempSubdirectory("proxy-soak-").FullName;
    private NatsServer? nats;
    private ProxyProcess? proxy;

    public FakeBackend A { get; } = FakeBackend.Start();

    public FakeBackend B { get; } = FakeBackend.Start();

    public FakeBackend O { get; } = FakeBackend.Start();

    public FakeBackend Ear { get; } = FakeBackend.Start();

    public NatsServer Nats => nats!;

    public ProxyProcess Proxy => proxy!;

    public static async Task<SoakHouse> StartAsync()
    {
        var house = new SoakHouse();
        try
        {
            await house.BeginAsync();
            return house;
        }
        catch
        {
            await house.DisposeAsync();
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (proxy is not null) await proxy.DisposeAsync();
        if (nats is not null) await nats.DisposeAsync();
        foreach (var host in new[] { A, B, O, Ear }) await host.DisposeAsync();
        Directory.Delete(folder, recursive: true);
    }

    private async Task BeginAsync()
    {
        foreach (var host in new[] { A, B, O, Ear }) host.Remembers = false;
        A.Answer(AnswerOpenAiAsync);
        B.Answer(AnswerOpenAiAsync);
        O.Answer(AnswerOllamaAsync);
        Ear.Answer(static exchange => exchange.WholeAsync(200, "application/x-protobuf", ""));
        var program = Path.Combine(folder, "job");
        await File.WriteAllTextAsync(program, """
            #!/bin/sh
            mark=$(grep -o 'n-[0-9]*-n' | tail -n 1)
            printf '{"type":"token","text":"so "}\n{"type":"token","text":"%s"}\n{"type":"finished","reason":"stop"}\n' "$mark"
            """);
        File.SetUnixFileMode(program, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        nats = await NatsServer.StartAsync();
        proxy = await ProxyProcess.StartAsync(Config(program));
        proxy.Log.Most = 2000;
        // A workspace with one file, for the calls that search.
        var made = await PostAsync("/v1/vector_stores", """{"name":"garden"}""");
        const string Form = "--b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nassistants\r\n--b\r\n"
            + "Content-Disposition: form-data; name=\"file\"; filename=\"tulips.md\"\r\n\r\nTulips grow from bulbs.\r\n--b--\r\n";
        var file = (await PostAsync("/v1/files", Form, "Content-Type: multipart/form-data; boundary=b")).Json.GetProperty("id").GetString();
        var store = made.Json.GetProperty("id").GetString();
        await PostAsync($"/v1/vector_stores/{store}/files", $$"""{"file_id":"{{file}}"}""");
        await Patience.Until(async () => (await GetAsync($"/v1/vector_stores/{store}")).Json
            .GetProperty("file_counts").GetProperty("completed").GetInt32() == 1, "the file is read");
    }

    public Task<RawReply> PostAsync(string path, string body, params string[] headers) =>
        RawClient.SendAsync(Proxy.Address, "POST", path, Encoding.UTF8.GetBytes(body), [.. headers, $"Authorization: Bearer {Key}"]);

    public Task<RawReply> GetAsync(string path) => RawClient.SendAsync(Proxy.Address, "GET", path, null, $"Authorization: Bearer {Key}");

    /// <summary>The values of the metrics that say what is going on now, by name; those of several series are added.</summary>
    public async Task<Dictionary<string, double>> MetricsAsync() => (await GetAsync("/metrics")).Text
        .Split('\n').Where(static line => line.StartsWith("proxy_", StringComparison.Ordinal))
        .Select(static line => (Name: line[..line.IndexOfAny(['{', ' '])], Value: line[(line.LastIndexOf(' ') + 1)..]))
        .GroupBy(static line => line.Name).ToDictionary(static group => group.Key,
            static group => group.Sum(static line => double.Parse(line.Value, System.Globalization.CultureInfo.InvariantCulture)));

    private string Config(string program) => $"""
        {FrontDoor.Server("queue = 1000")}
        [log]
        format = "json"
        [store]
        kind = "sqlite"
        content = true
        [nats]
        url = "{Nats.Url}"
        record = "full"
        [traces]
        otlp = "{Ear.Url}"
        sample = 0.1
        [cache]
        size = "1MiB"
        [streams]
        keep = "3s"
        keys_ttl = "3s"
        linger = "1s"
        retry_window = "1s"
        memory = "8MiB"
        [knowledge]
        embedder = "vec"
        [[pipelines]]
        name = "job"
        launcher = "process"
        command = ["{program}"]
        [[auth.keys]]
        name = "soak"
        sha256 = "{Digest(Key)}"
        admin = true
        [[auth.keys]]
        name = "small"
        sha256 = "{Digest(SmallKey)}"
        concurrency = 2
        requests_per_minute = 3000
        [[backends]]
        name = "a"
        url = "{A.Url}"
        dialects = ["openai"]
        models = ["pair", "vec"]
        slots = 6
        first_token = "3s"
        idle = "1s"
        [[backends]]
        name = "b"
        url = "{B.Url}"
        dialects = ["openai"]
        models = ["pair", "vec"]
        slots = 6
        first_token = "3s"
        idle = "1s"
        [[backends]]
        name = "o"
        url = "{O.Url}"
        dialects = ["ollama"]
        models = ["lama"]
        slots = 6
        first_token = "3s"
        idle = "1s"
        """;

    private static string Digest(string key) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(key)));

    private static string MarkOf(FakeExchange exchange) => Mark().Matches(exchange.Request.Text) is [.., var last] ? last.Value : "none";

    private static Task AnswerOpenAiAsync(FakeExchange exchange)
    {
        var text = exchange.Request.Text;
        if (exchange.Request.Target == "/v1/embeddings")
        {
            if (Random.Shared.Next(20) == 0) return exchange.JsonAsync(OpenAi.Error("slow down"), 503);
            var vectors = Enumerable.Range(0, exchange.Request.Json.GetProperty("input").GetArrayLength())
                .Select(static i => $$"""{"object":"embedding","index":{{i}},"embedding":[1,{{i + 1}}]}""");
            return exchange.JsonAsync(
                $$$"""{"object":"list","model":"vec","usage":{"prompt_tokens":1,"total_tokens":1},"data":[{{{string.Join(',', vectors)}}}]}""");
        }

        var mark = MarkOf(exchange);
        return text.Contains("\"stream\":true", StringComparison.Ordinal)
            ? StreamAsync(exchange, OpenAi.Sse, OpenAi.Stream("so ", mark, " it", " is"), OpenAi.ErrorFrame("broken"))
            : WholeAsync(exchange, OpenAi.Whole($"so {mark} it is"));
    }

    private static Task AnswerOllamaAsync(FakeExchange exchange)
    {
        var mark = MarkOf(exchange);
        return exchange.Request.Text.Contains("\"stream\":false", StringComparison.Ordinal)
            ? WholeAsync(exchange, Ollama.Last(text: $"so {mark} it is"))
            : StreamAsync(exchange, Ollama.Lines, Ollama.Stream("so ", mark, " it", " is"), "{\"error\":\"broken\"}\n");
    }

    /// <summary>One answer of a hundred calls fails in each of these ways. True: it has failed.</summary>
    private static async Task<bool> FailsAsync(FakeExchange exchange, int fault)
    {
        switch (fault)
        {
            case 0:
                exchange.Reset();
                return true;
            case 1:
                await exchange.JsonAsync(OpenAi.Error("slow down"), 503, "Retry-After: 1");
                return true;
            case 2:
                await exchange.SendAsync("garbage\r\n\r\n");
                exchange.Close();
                return true;
            case 3:
                await exchange.JsonAsync(OpenAi.Error("a bug"), 500);
                return true;
            default:
                return false;
        }
    }

    private static async Task WholeAsync(FakeExchange exchange, string document)
    {
        if (!await FailsAsync(exchange, Random.Shared.Next(100))) await exchange.JsonAsync(document);
    }

    private static async Task StreamAsync(FakeExchange exchange, string type, string[] frames, string error)
    {
        var (fault, place) = (Random.Shared.Next(100), Random.Shared.Next(6));
        if (await FailsAsync(exchange, fault)) return;
        var isSlow = Random.Shared.Next(4) == 0;
        await exchange.HeadAsync(type);
        for (var i = 0; i < frames.Length; i++)
        {
            switch (fault)
            {
                case 4 when i == place:
                    exchange.Reset();
                    return;
                case 5 when i == place:
                    await exchange.EndAsync();
                    return;
                case 6 when i == place:
                    await exchange.ChunkAsync(error);
                    await exchange.EndAsync();
                    return;
                case 7 when i == place:
                    await exchange.StallAsync();
                    return;
            }

            await exchange.ChunkAsync(frames[i]);
            if (isSlow) await Task.Delay(Random.Shared.Next(1, 40));
        }

        await exchange.EndAsync();
    }

    [GeneratedRegex("n-[0-9]+-n")]
    public static partial Regex Mark();
}
