using System.Collections.Concurrent;
using System.Text;
using Proxy.Chat;
using Proxy.Config;
using Proxy.Streams;
using Proxy.Tests.Dialects;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>
/// Checks the exact cache through the running proxy: an equal call gets the answer of the first one, in every dialect, as a stream and whole, and no host is
/// asked; calls that are not equal, owners that are not the same and answers that are not complete get nothing from it.
/// </summary>
public sealed class CacheTests(CacheTests.Door door) : IClassFixture<CacheTests.Door>
{
    private const string Use = "x-cache: use", Bypass = "x-cache: bypass", Alice = "authorization: Bearer alice-key", Bob = "authorization: Bearer bob-key";

    private static readonly string[] Families = ["openai", "anthropic", "ollama", "responses"];

    public sealed class Door : IAsyncLifetime
    {
        private readonly Dictionary<string, FakeBackend> hosts = [];

        internal RoutedProxy Proxy { get; private set; } = null!;

        /// <summary>A gate's error for each call that gets one, by the correlation id.</summary>
        internal ConcurrentDictionary<string, ProxyError> Refused { get; } = [];

        internal FakeBackend Host(string family) => hosts[family];

        public async ValueTask InitializeAsync()
        {
            var sections = new StringBuilder();
            foreach (var family in Families)
            {
                hosts[family] = FakeBackend.Start();
                hosts[family].Answer(AnswerAsync);
                sections.AppendLine(Section(hosts[family], family));
            }

            Proxy = await RoutedProxy.StartAsync(
                $"{Toml("exact = true")}\n{Keys}\n{sections}", static _ => [], (call, _, gates) =>
                {
                    if (Refused.TryGetValue(call.Info.CorrelationId, out var error)) gates.Add(new Refusing(error));
                });
        }

        public async ValueTask DisposeAsync()
        {
            await Proxy.DisposeAsync();
            foreach (var host in hosts.Values) await host.DisposeAsync();
        }

        /// <summary>Answers with the transcript that is the last part of the model's name.</summary>
        private static Task AnswerAsync(FakeExchange exchange)
        {
            var scenario = exchange.Request.Json.GetProperty("model").GetString()!.Split('-')[^1];
            var name = exchange.Request.Target switch
            {
                "/v1/chat/completions" => "openai",
                "/v1/responses" => "responses",
                "/api/chat" => "ollama",
                "/api/generate" => "generate",
                _ => "anthropic",
            };
            string Read(string file) => File.ReadAllText(Path.Combine(Wire.Transcripts, scenario, file));
            var streams = exchange.Request.Json.TryGetProperty("stream", out var wish) && wish.GetBoolean();
            if (!streams) return exchange.JsonAsync(Read($"{name}.whole.json").Trim());
            return name is "ollama" or "generate"
                ? exchange.StreamAsync(Ollama.Lines, Read($"{name}.jsonl"))
                : exchange.StreamAsync(OpenAi.Sse, Read($"{name}.sse"));
        }
    }

    private sealed class Refusing(ProxyError error) : IEndGate
    {
        public ValueTask<ProxyError?> BeforeEndAsync(GenerationEnd end, CancellationToken cancellation) => new(error);

        public void Ended(GenerationEnd end) { }
    }

    public static TheoryData<string, string, bool> Answers()
    {
        var cells = new TheoryData<string, string, bool>();
        foreach (var host in Families)
        {
            foreach (var scenario in (string[])["plain", "two_tools", "reasoning", "usage_asked"])
            {
                cells.Add(host, scenario, true);
                cells.Add(host, scenario, false);
            }
        }

        return cells;
    }

    [Theory]
    [MemberData(nameof(Answers))]
    public async Task Answer_of_one_client_Answers_every_dialect_streamed_and_whole_and_the_host_is_not_asked(string host, string scenario, bool firstStreams)
    {
        var (model, text) = ($"{host}-{scenario}", Guid.NewGuid().ToString());
        var (first, _) = await AskAsync("openai", model, text, firstStreams, Use);
        var asked = door.Host(host).Calls.Count;
        Assert.Equal((200, "miss"), (first.Status, first.Header("x-cache")));

        foreach (var client in (string[])["openai", "anthropic", "ollama", "responses", "generate"])
        {
            foreach (var stream in (bool[])[true, false])
            {
                var (reply, line) = await AskAsync(client, model, text, stream, Use);

                Assert.Equal((200, "hit", true), (reply.Status, reply.Header("x-cache"), reply.Whole));
                Assert.Equal(first.Header("x-req-id"), reply.Header("x-req-id"));
                Assert.Equal(("cache", null, "ok"), (line["route"], line.Backend, line.Outcome));
                Assert.Equal(asked, door.Host(host).Calls.Count);

                if (client is "generate" && scenario is "two_tools") continue; // it cannot say calls
                var (fresh, _) = await AskAsync(client, model, text, stream, Bypass);
                Assert.Equal("bypass", fresh.Header("x-cache"));
                Assert.Equal(Seen(client, stream, fresh, host), Seen(client, stream, reply, host));
                Assert.Equal(++asked, door.Host(host).Calls.Count);
            }
        }
    }

    [Fact]
    public async Task Hit_Has_an_id_of_its_own_and_the_usage_of_the_first_answer()
    {
        var text = Guid.NewGuid().ToString();
        var (first, _) = await AskAsync("openai", "openai-usage_asked", text, false, Use);
        var (second, line) = await AskAsync("openai", "openai-usage_asked", text, false, Use);

        Assert.NotEqual(first.Json.GetProperty("id").GetString(), second.Json.GetProperty("id").GetString());
        Assert.Contains(second.TraceId, second.Json.GetProperty("id").GetString(), StringComparison.Ordinal);
        Assert.Equal(first.Json.GetProperty("usage").GetRawText(), second.Json.GetProperty("usage").GetRawText());
        Assert.NotNull(line["tokens_out"]);
        Assert.Matches("^[0-9a-f]{64}$", second.Header("x-req-id"));
    }

    [Theory]
    [InlineData(""","temperature":0""", true)]
    [InlineData(""","temperature":0.0""", true)]
    [InlineData(""","seed":7,"temperature":0.8""", true)]
    [InlineData(""","temperature":0.1""", false)]
    [InlineData("", false)]
    [InlineData(""","temperature":0,"n":2""", false)]
    [InlineData(""","temperature":0,"logprobs":true""", false)]
    [InlineData(""","temperature":0""", false, Bypass)]
    [InlineData(""","temperature":0.9""", true, Use)]
    [InlineData(""","n":2""", false, Use)]
    public async Task Calls_take_part_that_repeat_or_ask_for_it(string more, bool takesPart, string? header = null)
    {
        var body = OpenAi.Request("openai-plain", more: more, text: Guid.NewGuid().ToString());
        string[] headers = header is null ? [Alice] : [Alice, header];
        var asked = door.Host("openai").Calls.Count;

        var (first, _) = await door.Proxy.CallAsync("/v1/chat/completions", body, headers);
        var (second, _) = await door.Proxy.CallAsync("/v1/chat/completions", body, headers);

        Assert.Equal(takesPart ? ("miss", "hit") : ("bypass", "bypass"), (first.Header("x-cache"), second.Header("x-cache")));
        Assert.Equal(takesPart ? 1 : 2, door.Host("openai").Calls.Count - asked);
    }

    [Fact]
    public async Task Owners_Get_no_answers_of_each_other()
    {
        var body = OpenAi.Request("openai-plain", text: Guid.NewGuid().ToString());

        Assert.Equal(("miss", "miss"), (await TryAsync(door.Proxy, body, Alice, Use), await TryAsync(door.Proxy, body, Bob, Use)));
        Assert.Equal(("hit", "hit"), (await TryAsync(door.Proxy, body, Alice, Use), await TryAsync(door.Proxy, body, Bob, Use)));
    }

    [Fact]
    public async Task Anonymous_caller_Has_no_cache_and_is_told_so()
    {
        var body = OpenAi.Request("openai-plain", more: ",\"temperature\":0", text: Guid.NewGuid().ToString());

        Assert.Equal(("bypass", "bypass"), (await TryAsync(door.Proxy, body), await TryAsync(door.Proxy, body)));
        var (refused, _) = await door.Proxy.CallAsync("/v1/chat/completions", body, Use);
        Assert.Equal(400, refused.Status);
        Assert.Contains("each API key has its own", refused.ErrorMessage, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Shared_cache_Answers_everyone()
    {
        await using var host = Plain();
        await using var proxy = await RoutedProxy.StartAsync($"{Toml("shared = true")}\n{Keys}\n{Section(host, "openai")}", static _ => []);
        var body = OpenAi.Request("openai-m");

        Assert.Equal("miss", await TryAsync(proxy, body, Alice, Use));
        Assert.Equal(("hit", "hit"), (await TryAsync(proxy, body, Bob, Use), await TryAsync(proxy, body, Use)));
        Assert.Equal("bypass", await TryAsync(proxy, OpenAi.Request("openai-m", more: ",\"temperature\":0"), Alice)); // exact is off
        // A host may obey the first one of two members, and the digest is that of the last one.
        Assert.Equal("bypass", await TryAsync(proxy, OpenAi.Request("openai-m", more: ",\"tools\":[{}],\"tools\":null"), Alice, Use));
        Assert.Equal(3, host.Calls.Count);
    }

    [Theory]
    [InlineData("no-store")]
    [InlineData("use, bypass")]
    [InlineData("USE")]
    public async Task Unknown_value_Is_refused_by_its_name(string value)
    {
        var (reply, _) = await door.Proxy.CallAsync("/v1/chat/completions", OpenAi.Request("openai-plain"), Alice, $"x-cache: {value}");

        Assert.Equal((400, "x-cache"), (reply.Status, reply.Json.GetProperty("error").GetProperty("param").GetString()));
        Assert.Contains($"x-cache is '{value}'; it can be use or bypass", reply.ErrorMessage, StringComparison.Ordinal);
    }

    [Fact]
    public async Task No_cache_is_configured_The_header_is_refused_and_no_answer_has_one()
    {
        await using var host = Plain();
        await using var proxy = await RoutedProxy.StartAsync($"{Toml(null)}\n{Section(host, "openai")}", static _ => []);
        var body = OpenAi.Request("openai-m", more: ",\"temperature\":0");

        var (refused, _) = await proxy.CallAsync("/v1/chat/completions", body, Use);
        var (plain, line) = await proxy.CallAsync("/v1/chat/completions", body);
        var (bypassed, _) = await proxy.CallAsync("/v1/chat/completions", body, Bypass);

        Assert.Equal(400, refused.Status);
        Assert.Contains("not configured on this proxy", refused.ErrorMessage, StringComparison.Ordinal);
        Assert.Equal((200, null, null, "direct"), (plain.Status, plain.Header("x-cache"), plain.Header("x-req-id"), line["route"]));
        Assert.Equal((200, null), (bypassed.Status, bypassed.Header("x-cache")));
    }

    [Fact]
    public async Task Answer_that_is_too_old_Is_asked_for_again()
    {
        await using var host = Plain();
        await using var proxy = await RoutedProxy.StartAsync($"{Toml("ttl = \"1m\"")}\n{Keys}\n{Section(host, "openai")}", static _ => []);
        var body = OpenAi.Request("openai-m");
        Assert.Equal(("miss", "hit"), (await TryAsync(proxy, body, Alice, Use), await TryAsync(proxy, body, Alice, Use)));

        proxy.Time.Advance(TimeSpan.FromMinutes(1));

        Assert.Equal(("miss", "hit"), (await TryAsync(proxy, body, Alice, Use), await TryAsync(proxy, body, Alice, Use)));
        Assert.Equal(2, host.Calls.Count);
    }

    [Fact]
    public async Task Cache_is_full_The_oldest_answers_are_asked_for_again()
    {
        await using var host = FakeBackend.Start();
        host.Answer(static exchange => exchange.JsonAsync(OpenAi.Whole(new string('x', 300_000))));
        await using var proxy = await RoutedProxy.StartAsync($"{Toml("size = \"1MiB\"")}\n{Keys}\n{Section(host, "openai")}", static _ => []);
        string Body(int number) => OpenAi.Request("openai-m", text: $"{number}");
        for (var number = 0; number < 4; number++) Assert.Equal("miss", await TryAsync(proxy, Body(number), Alice, Use));

        Assert.Equal(("hit", "miss"), (await TryAsync(proxy, Body(3), Alice, Use), await TryAsync(proxy, Body(0), Alice, Use)));
        var metrics = (await RawClient.SendAsync(proxy.Address, "GET", "/metrics", null, Alice)).Text;
        Assert.Contains("\n# TYPE proxy_cache_hits_total counter\nproxy_cache_hits_total 1\n", metrics, StringComparison.Ordinal);
        Assert.Contains("\nproxy_cache_misses_total 5\n", metrics, StringComparison.Ordinal);
        Assert.InRange(int.Parse(metrics.Split("\nproxy_cache_bytes ")[1].Split('\n')[0], System.Globalization.CultureInfo.InvariantCulture), 900_000, 1 << 20);
    }

    /// <summary>Answers of a host that are not to be kept, by a name for the test.</summary>
    private static readonly Dictionary<string, Func<FakeExchange, Task>> Unfit = new(StringComparer.Ordinal)
    {
        ["an error"] = static exchange => exchange.JsonAsync(OpenAi.Error("no"), 400),
        ["an error frame"] = static exchange => exchange.StreamAsync(OpenAi.Sse, OpenAi.Token("a"), OpenAi.ErrorFrame("no"), OpenAi.Done),
        ["no end"] = static async exchange =>
        {
            await exchange.HeadAsync(OpenAi.Sse);
            await exchange.ChunkAsync(OpenAi.Token("a"));
            exchange.Close();
        },
        ["no finish reason"] = static exchange => exchange.StreamAsync(OpenAi.Sse, OpenAi.Token("a")),
        ["two choices"] = static exchange => exchange.StreamAsync(OpenAi.Sse,
            [OpenAi.Token("a"), OpenAi.Token("b").Replace("\"index\":0", "\"index\":1", StringComparison.Ordinal), OpenAi.Stop(), OpenAi.Done]),
        ["log probabilities"] = static exchange => exchange.StreamAsync(OpenAi.Sse,
            OpenAi.Token("a").Replace("\"logprobs\":null", """ "logprobs":{"content":[{"token":"a","logprob":-1,"bytes":[97],"top_logprobs":[]}]}""",
                StringComparison.Ordinal), OpenAi.Stop(), OpenAi.Done),
        ["an unknown part"] = static exchange => exchange.JsonAsync(OpenAi.Whole("a").Replace("\"content\":\"a\"",
            """ "content":[{"type":"text","text":"a"},{"type":"hologram","data":"x"}]""", StringComparison.Ordinal)),
    };

    public static TheoryData<string> UnfitNames => [.. Unfit.Keys];

    [Theory]
    [MemberData(nameof(UnfitNames))]
    public async Task Answer_that_failed_was_cut_or_has_more_than_events_say_Is_not_kept(string answer)
    {
        await using var host = FakeBackend.Start();
        await using var proxy = await RoutedProxy.StartAsync($"{Toml("")}\n{Keys}\n{Section(host, "openai")}", static _ => []);
        host.Answer(Unfit[answer]);
        var body = OpenAi.Request("openai-m", stream: answer is not ("an error" or "an unknown part"));

        Assert.Equal(("miss", "miss"), (await TryAsync(proxy, body, Alice, Use), await TryAsync(proxy, body, Alice, Use)));
        host.Answer(static exchange => exchange.StreamAsync(OpenAi.Sse, OpenAi.Stream("a")));
        if (answer is "an error" or "an unknown part") host.Answer(static exchange => exchange.JsonAsync(OpenAi.Whole("a")));
        Assert.Equal(("miss", "hit"), (await TryAsync(proxy, body, Alice, Use), await TryAsync(proxy, body, Alice, Use)));
    }

    [Fact]
    public async Task Client_leaves_in_the_middle_The_answer_is_not_kept()
    {
        var text = Guid.NewGuid().ToString();
        door.Host("openai").Once(static async exchange =>
        {
            await exchange.HeadAsync(OpenAi.Sse);
            await exchange.ChunkAsync(OpenAi.Token("first"));
            await exchange.Gone;
        });
        var correlation = FrontDoor.Correlation();
        await using (var raw = await RawClient.ConnectAsync(door.Proxy.Address))
        {
            var body = Encoding.UTF8.GetBytes(OpenAi.Request("openai-plain", stream: true, text: text));
            await raw.RequestAsync("POST", "/v1/chat/completions", body, Alice, Use, $"x-correlation-id: {correlation}");
            await raw.ReadHeadAsync();
            await raw.ReadUntilAsync("first");
        }

        Assert.Equal("client_left", (await door.Proxy.Log.CallAsync(correlation)).Outcome);
        Assert.Equal("miss", await TryAsync(door.Proxy, OpenAi.Request("openai-plain", stream: true, text: text), Alice, Use));
    }

    [Fact]
    public async Task Gate_refuses_the_end_The_answer_is_not_kept()
    {
        var body = OpenAi.Request("openai-plain", text: Guid.NewGuid().ToString());
        var correlation = FrontDoor.Correlation();
        door.Refused[correlation] = new(ProxyErrorKind.NoBackend, "the record cannot be written");

        var reply = await RawClient.SendAsync(
            door.Proxy.Address, "POST", "/v1/chat/completions", Encoding.UTF8.GetBytes(body), Alice, Use, $"x-correlation-id: {correlation}");

        Assert.Equal((503, "miss"), (reply.Status, reply.Header("x-cache")));
        Assert.Equal("miss", await TryAsync(door.Proxy, body, Alice, Use));
    }

    [Fact]
    public async Task Invalid_request_Is_refused_as_without_a_cache()
    {
        var (reply, _) = await door.Proxy.CallAsync("/v1/chat/completions", """{"model":"anthropic-plain","messages":7,"temperature":0}""", Alice, Use);

        Assert.Equal((400, "bypass"), (reply.Status, reply.Header("x-cache")));
        Assert.Contains("messages", reply.ErrorMessage, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Route_without_a_host_Is_cached_with_its_winner_and_the_pipeline_is_part_of_the_identity()
    {
        await using var proxy = await RoutedProxy.StartAsync($"{Toml("")}\n{Keys}", static _ => [new Pipelines()]);
        foreach (var pipeline in (string[])["x-pipeline: one", "x-pipeline: two"])
        {
            var (first, _) = await proxy.CallAsync("/v1/chat/completions", OpenAi.Request("echo"), Alice, Use, pipeline);
            var (second, _) = await proxy.CallAsync("/v1/chat/completions", OpenAi.Request("echo", stream: true), Alice, Use, pipeline);

            Assert.Equal(("miss", "hit"), (first.Header("x-cache"), second.Header("x-cache")));
            Assert.Equal("hello", OpenAi.Read(second));
            Assert.Contains("\"winner\":\"second opinion\"", second.Text, StringComparison.Ordinal);
        }
    }

    private sealed class Pipelines : IChatRoute
    {
        public string Name => "workflow";

        public bool Takes(in RoutedCall call) => call.Pipeline is not null;

        public ValueTask<ChatAnswer> AnswerAsync(RoutedCall call, CancellationToken cancellation) => new(new ChatAnswer.Events(new ChatEvent[]
        {
            new ChatEvent.Token("hel") { Origin = new EventOrigin("draft", null, 1) },
            new ChatEvent.Token("lo") { Origin = new EventOrigin("draft", null, 2) },
            new ChatEvent.Finished(FinishReason.Stop, "second opinion") { Origin = new EventOrigin("draft", null, 3) },
        }.ToAsyncEnumerable(), null, null));
    }

    [Fact]
    public async Task Long_request_Is_found_too()
    {
        var body = OpenAi.Request("openai-plain", text: Guid.NewGuid() + new string('x', 200_000));

        Assert.Equal(("miss", "hit"), (await TryAsync(door.Proxy, body, Alice, Use), await TryAsync(door.Proxy, body, Alice, Use)));
    }

    private static string Keys => $"""
        [auth]
        allow_anonymous = true
        [[auth.keys]]
        name = "alice"
        sha256 = "{ApiKeyConfig.Digest("alice-key")}"
        [[auth.keys]]
        name = "bob"
        sha256 = "{ApiKeyConfig.Digest("bob-key")}"
        """;

    /// <param name="cache">The lines of the [cache] section; null: no section.</param>
    private static string Toml(string? cache) => $"""
        {FrontDoor.Server()}
        [inference]
        bundled = false
        [log]
        format = "json"
        {(cache is null ? "" : $"[cache]\n{cache}")}
        """;

    private static string Section(FakeBackend host, string family) => $"""
        [[backends]]
        name = "{family}"
        url = "{host.Url}"
        dialects = ["{family}"]
        prefixes = ["{family}-"]
        """;

    private static FakeBackend Plain()
    {
        var host = FakeBackend.Start();
        host.Answer(static exchange => exchange.JsonAsync(OpenAi.Whole("hi")));
        return host;
    }

    private static async Task<string?> TryAsync(RoutedProxy proxy, string body, params string[] headers) =>
        (await proxy.CallAsync("/v1/chat/completions", body, headers)).Reply.Header("x-cache");

    private Task<(RawReply Reply, CallLine Line)> AskAsync(string client, string model, string text, bool stream, string header)
    {
        var (path, body) = client switch
        {
            "anthropic" => ("/v1/messages", $$"""{"model":"{{model}}","max_tokens":64,"messages":[{"role":"user","content":"{{text}}"}],"stream":STREAM}"""),
            "ollama" => ("/api/chat", $$"""{"model":"{{model}}","options":{"num_predict":64},"messages":[{"role":"user","content":"{{text}}"}],"stream":STREAM}"""),
            "generate" => ("/api/generate", $$"""{"model":"{{model}}","options":{"num_predict":64},"prompt":"{{text}}","stream":STREAM}"""),
            "responses" => ("/v1/responses", $$"""{"model":"{{model}}","max_output_tokens":64,"input":"{{text}}","stream":STREAM}"""),
            _ => ("/v1/chat/completions", $$"""{"model":"{{model}}","max_tokens":64,"messages":[{"role":"user","content":"{{text}}"}],"stream":STREAM{{(stream ? ""","stream_options":{"include_usage":true}""" : "")}}}"""),
        };
        body = body.Replace("STREAM", stream ? "true" : "false", StringComparison.Ordinal);
        return door.Proxy.CallAsync(path, body, Alice, header, "anthropic-version: 2023-06-01");
    }

    /// <summary>What the client's user sees. An Ollama host gives its calls no ids, so each answer has made-up ones.</summary>
    private static MatrixAnswer Seen(string client, bool stream, RawReply reply, string host)
    {
        var seen = MatrixAnswer.Of(client, stream, reply);
        if (host is not "ollama") return seen;
        return seen with { Calls = string.Join('\n', seen.Calls.Split('\n').Select(static call => call[(call.IndexOf(' ', StringComparison.Ordinal) + 1)..])) };
    }
}
