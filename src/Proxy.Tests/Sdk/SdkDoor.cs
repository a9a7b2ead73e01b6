using System.Text;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Sdk;

/// <summary>
/// A proxy in front of a real engine (<c>tiny-bigram</c>) and of fake hosts, one for each kind of answer: <c>fake-…</c> speak OpenAI's dialect,
/// <c>native-…</c> Ollama's, and <c>any-DIALECT</c> are <see cref="EveryDialectHost"/>.
/// </summary>
public sealed class SdkDoor : IAsyncLifetime
{
    private static readonly string[] Hello = ["Hé", "llo ", "😀"];
    private readonly List<FakeBackend> hosts = [];
    private ProxyProcess? proxy;
    private LlamaServer? engine;

    internal ProxyProcess Proxy => proxy!;

    internal LlamaServer Engine => engine!;

    internal Uri Address => Proxy.Address;

    public async ValueTask InitializeAsync()
    {
        engine = await LlamaServer.StartAsync();
        var config = new StringBuilder(FrontDoor.Server()).AppendLine().AppendLine($"""
            [log]
            format = "json"
            [aliases]
            "gpt-4o" = "tiny-bigram"
            [[backends]]
            name = "llama"
            url = "{engine.Address.GetLeftPart(UriPartial.Authority)}"
            dialects = ["openai"]
            models = ["tiny-bigram"]
            slots = 4
            """);

        Fake("fake-hello", exchange => OpenAiAsync(exchange, Hello));
        Fake("fake-two-tools", TwoToolsAsync);
        Fake("fake-image", exchange => OpenAiAsync(exchange, exchange.Request.Json.GetProperty("messages")[0].GetProperty("content").EnumerateArray()
            .Single(part => part.GetProperty("type").GetString() == "image_url").GetProperty("image_url").GetProperty("url").GetString()!));
        Fake("fake-dies", async exchange =>
        {
            await exchange.HeadAsync(OpenAi.Sse);
            await exchange.ChunkAsync(OpenAi.Role() + OpenAi.Token("half"));
            await Task.Delay(100);
            exchange.Reset();
        });
        Fake("fake-silent-end", exchange => exchange.StreamAsync(OpenAi.Sse, OpenAi.Role(), OpenAi.Token("half")));
        Fake("fake-fails-over", exchange => exchange.StreamAsync(OpenAi.Sse, OpenAi.Role(), OpenAi.ErrorFrame("out of memory")), "weight = 1000");
        Fake("fake-fails-over", exchange => OpenAiAsync(exchange, "from ", "the ", "second"));
        Fake("fake-429", exchange => exchange.JsonAsync(OpenAi.Error("slow down"), 429, "Retry-After: 1"));
        var busy = true;
        Fake("fake-429-once", exchange =>
        {
            var answer = busy ? exchange.JsonAsync(OpenAi.Error("slow down"), 429, "Retry-After: 1") : OpenAiAsync(exchange, "second ", "try");
            busy = false;
            return answer;
        });
        Fake("fake-down", exchange => exchange.StallAsync()).Refuse();

        Native("native-hello", exchange => OllamaAsync(exchange, Hello));
        Native("native-two-tools", NativeTwoToolsAsync);
        Native("native-image", exchange => OllamaAsync(exchange, exchange.Request.Json.GetProperty("messages")[0].GetProperty("images")[0].GetString()!));
        Native("native-prompt", exchange => GenerateAsync(exchange, Hello));
        Native("native-silent-end", exchange => exchange.StreamAsync(Ollama.Lines, Ollama.Token("half")));
        Native("native-dies", async exchange =>
        {
            await exchange.HeadAsync(Ollama.Lines);
            await exchange.ChunkAsync(Ollama.Token("half"));
            await Task.Delay(100);
            exchange.Reset();
        });
        Native("native-not-done", exchange => exchange.JsonAsync(Ollama.Token("half").TrimEnd()));

        Add("openai", "any-openai", EveryDialectHost.OpenAiAsync, "");
        Add("ollama", "any-ollama", EveryDialectHost.OllamaAsync, "");
        Add("anthropic", "any-anthropic", EveryDialectHost.AnthropicAsync, "");

        proxy = await ProxyProcess.StartAsync(config.ToString());

        FakeBackend Fake(string model, Func<FakeExchange, Task> answer, string more = "") => Add("openai", model, answer, more);

        FakeBackend Native(string model, Func<FakeExchange, Task> answer) => Add("ollama", model, answer, "");

        FakeBackend Add(string dialect, string model, Func<FakeExchange, Task> answer, string more)
        {
            var host = FakeBackend.Start();
            hosts.Add(host);
            host.Answer(answer);
            config.AppendLine($"""
                [[backends]]
                name = "host{hosts.Count}"
                url = "{host.Url}"
                dialects = ["{dialect}"]
                models = ["{model}"]
                {more}
                """);
            return host;
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (proxy is not null)
            await proxy.DisposeAsync();
        if (engine is not null)
            await engine.DisposeAsync();
        foreach (var host in hosts)
            await host.DisposeAsync();
    }

    private static bool Streams(FakeExchange exchange, bool unsaid) =>
        exchange.Request.Json.TryGetProperty("stream", out var stream) ? stream.GetBoolean() : unsaid;

    private static Task OpenAiAsync(FakeExchange exchange, params string[] tokens)
    {
        if (!Streams(exchange, unsaid: false))
            return exchange.JsonAsync(OpenAi.Whole(string.Concat(tokens)));

        var usage = exchange.Request.Json.TryGetProperty("stream_options", out var options) && options.GetProperty("include_usage").GetBoolean()
            ? """data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795000000,"model":"served","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":7,"total_tokens":16}}""" + "\n\n"
            : "";
        return exchange.StreamAsync(OpenAi.Sse, [.. OpenAi.Stream(tokens)[..^1], usage + OpenAi.Done]);
    }

    private static Task OllamaAsync(FakeExchange exchange, params string[] tokens) =>
        Streams(exchange, unsaid: true)
            ? exchange.StreamAsync(Ollama.Lines, Ollama.Stream(tokens))
            : exchange.JsonAsync(Ollama.Last(text: string.Concat(tokens)).TrimEnd());

    private static Task GenerateAsync(FakeExchange exchange, params string[] tokens) => exchange.Request.Target != "/api/generate"
        ? exchange.JsonAsync("""{"error":"only prompts here"}""", 400)
        : Streams(exchange, unsaid: true)
            ? exchange.StreamAsync(Ollama.Lines, [.. tokens.Select(token => Ollama.Piece(token)), Ollama.LastPiece()])
            : exchange.JsonAsync(Ollama.LastPiece(string.Concat(tokens)).TrimEnd());

    /// <summary>Two parallel calls. In the stream their pieces alternate, as some hosts send them.</summary>
    private static Task TwoToolsAsync(FakeExchange exchange)
    {
        const string Head = """{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795000000,"model":"served","choices":[{"index":0,"delta":""";
        const string Calls = """[{"id":"call_a","type":"function","function":{"name":"get_weather","arguments":"{\"city\":\"Paris\"}"}},{"id":"call_b","type":"function","function":{"name":"get_weather","arguments":"{\"city\":\"Rome\"}"}}]""";
        if (!Streams(exchange, unsaid: false))
        {
            return exchange.JsonAsync("""{"id":"chatcmpl-1","object":"chat.completion","created":1795000000,"model":"served","choices":[{"index":0,"message":{"role":"assistant","content":null,"refusal":null,"tool_calls":"""
                + Calls + """},"logprobs":null,"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":9,"completion_tokens":7,"total_tokens":16}}""");
        }

        string[] deltas =
        [
            """{"role":"assistant","content":null}""",
            """{"tool_calls":[{"index":0,"id":"call_a","type":"function","function":{"name":"get_weather","arguments":""}}]}""",
            """{"tool_calls":[{"index":0,"function":{"arguments":"{\"city\":"}}]}""",
            """{"tool_calls":[{"index":0,"function":{"arguments":"\"Paris\"}"}}]}""",
            """{"tool_calls":[{"index":1,"id":"call_b","type":"function","function":{"name":"get_weather","arguments":"{\"ci"}}]}""",
            """{"tool_calls":[{"index":1,"function":{"arguments":"ty\":\"Rome\"}"}}]}""",
        ];
        return exchange.StreamAsync(OpenAi.Sse, [.. deltas.Select(delta => Frame(delta, "null")), Frame("{}", "\"tool_calls\""), OpenAi.Done]);

        static string Frame(string delta, string finish) => "data: " + Head + delta + ",\"finish_reason\":" + finish + "}]}\n\n";
    }

    /// <summary>As a real Ollama sends them: in the same object as <c>done</c>, with reason <c>stop</c>, and the arguments as an object.</summary>
    private static Task NativeTwoToolsAsync(FakeExchange exchange)
    {
        const string Calls = """[{"id":"call_a","function":{"index":0,"name":"get_weather","arguments":{"city":"Paris"}}},{"id":"call_b","function":{"index":1,"name":"get_weather","arguments":{"city":"Rome"}}}]""";
        var last = Ollama.Last().TrimEnd().Replace("\"content\":\"\"", "\"content\":\"\",\"tool_calls\":" + Calls, StringComparison.Ordinal);
        return Streams(exchange, unsaid: true) ? exchange.StreamAsync(Ollama.Lines, Ollama.Token("Let me look. "), last + "\n") : exchange.JsonAsync(last);
    }
}

[CollectionDefinition(Name)]
public sealed class RealClients : ICollectionFixture<SdkDoor>
{
    public const string Name = "real clients";
}
