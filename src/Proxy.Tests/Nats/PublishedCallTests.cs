using System.Text;
using System.Text.Json;
using Proxy.Config;
using Proxy.Tests.Dialects;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Nats;

/// <summary>What subscribers of a real NATS server get of calls: the events in order, and the message of each finished call.</summary>
public sealed class PublishedCallTests(PublishedCallTests.Door door) : IClassFixture<PublishedCallTests.Door>
{
    private const string LoudKey = "loud-key-of-the-test";
    private const string SilentKey = "silent-key-of-the-test";

    /// <summary>By client: its path and its body.</summary>
    private static readonly Dictionary<string, (string Path, string Body)> Clients = new(StringComparer.Ordinal)
    {
        ["openai"] = ("/v1/chat/completions", """{"model":"MODEL","messages":[{"role":"user","content":"x"}],"stream":STREAM}"""),
        ["completions"] = ("/v1/completions", """{"model":"MODEL","prompt":"x","stream":STREAM}"""),
        ["responses"] = ("/v1/responses", """{"model":"MODEL","input":"x","stream":STREAM}"""),
        ["ollama"] = ("/api/chat", """{"model":"MODEL","messages":[{"role":"user","content":"x"}],"stream":STREAM}"""),
        ["anthropic"] = ("/v1/messages", """{"model":"MODEL","max_tokens":9,"messages":[{"role":"user","content":"x"}],"stream":STREAM}"""),
    };

    public sealed class Door : IAsyncLifetime
    {
        private readonly Dictionary<string, FakeBackend> hosts = [];
        private NatsServer? server;
        private NatsEar? ear;
        private ProxyProcess? proxy;

        internal NatsServer Server => server!;

        internal NatsEar Ear => ear!;

        internal ProxyProcess Proxy => proxy!;

        internal FakeBackend Host(string family) => hosts[family];

        public async ValueTask InitializeAsync()
        {
            server = await NatsServer.StartAsync();
            ear = await NatsEar.StartAsync(server);
            var sections = new StringBuilder();
            foreach (var family in (string[])["openai", "responses", "ollama", "anthropic"])
            {
                hosts[family] = FakeBackend.Start();
                hosts[family].Answer(TranscriptHost.AnswerAsync);
                sections.AppendLine($"""
                    [[backends]]
                    name = "{family}"
                    url = "{hosts[family].Url}"
                    dialects = ["{family}"]
                    models = ["{family}-m"]
                    """);
            }

            proxy = await ProxyProcess.StartAsync($"""
                {FrontDoor.Server()}
                [inference]
                bundled = false
                [log]
                format = "json"
                {sections}
                [auth]
                allow_anonymous = true
                [[auth.keys]]
                name = "loud"
                sha256 = "{ApiKeyConfig.Digest(LoudKey)}"
                [[auth.keys]]
                name = "silent"
                sha256 = "{ApiKeyConfig.Digest(SilentKey)}"
                publish = false
                [nats]
                url = "{server.Url}"
                """);
            await proxy.Log.EventAsync("nats_up");
        }

        public async ValueTask DisposeAsync()
        {
            if (proxy is not null) await proxy.DisposeAsync();
            foreach (var host in hosts.Values) await host.DisposeAsync();
            if (ear is not null) await ear.DisposeAsync();
            if (server is not null) await server.DisposeAsync();
        }
    }

    public static TheoryData<string, string, bool> Cells()
    {
        var cells = new TheoryData<string, string, bool>();
        foreach (var client in Clients.Keys)
        {
            var same = client is "completions" ? "openai" : client;
            foreach (var host in (string[])[same, same is "openai" ? "anthropic" : "openai"])
            {
                cells.Add(client, host, true);
                cells.Add(client, host, false);
            }
        }

        return cells;
    }

    [Theory]
    [MemberData(nameof(Cells))]
    public async Task Call_of_any_dialect_Its_events_come_in_order_and_then_its_message(string client, string host, bool stream)
    {
        var reply = await CallAsync(client, host, stream);

        Assert.Equal(200, reply.Status);
        var events = await door.Ear.EventsAsync(reply.TraceId);
        Assert.Equal(Enumerable.Range(1, events.Count), events.Select(static one => one.GetProperty("seq").GetInt32()));
        Assert.Equal("The queue holds a \"short\" wait.\n", TextOf(events));
        Assert.Equal(["finished"], TypesOf(events)[^1..]);
        Assert.Equal(1, TypesOf(events).Count(static type => type == "finished"));
        Assert.Equal("stop", events[^1].GetProperty("reason").GetString());
        var done = (await door.Ear.DoneAsync(reply.TraceId)).Json;
        Assert.Equal(("ok", "stop", $"{host}-m", host), (Text(done, "outcome"), Text(done, "reason"), Text(done, "model"), Text(done, "backend")));
        Assert.Equal(stream, done.GetProperty("stream").GetBoolean());
        Assert.True(done.GetProperty("duration_ms").GetDouble() > 0);
    }

    [Fact]
    public async Task Message_of_a_call_Names_the_call_its_caller_and_its_tokens()
    {
        door.Host("openai").Once(exchange => exchange.JsonAsync(OpenAi.Whole("hello", "openai-m")));

        var reply = await CallAsync("openai", "openai", false, $"authorization: Bearer {LoudKey}", "x-correlation-id: parent-7", "x-request-id: request-7",
            "x-session-id: session-7");

        var message = await door.Ear.DoneAsync(reply.TraceId);
        var done = message.Json;
        Assert.Equal(("application/json", reply.TraceId), (message.ContentType, message.Id));
        Assert.Equal((reply.TraceId, "parent-7", "request-7", "session-7"),
            (Text(done, "trace_id"), Text(done, "parent"), Text(done, "request_id"), Text(done, "session")));
        Assert.Equal(("loud", "/v1/chat/completions", "direct", "openai-m", "openai-m"),
            (Text(done, "owner"), Text(done, "surface"), Text(done, "route"), Text(done, "served"), Text(done, "winner")));
        var usage = done.GetProperty("usage");
        Assert.Equal((9, 7), (usage.GetProperty("input_tokens").GetInt32(), usage.GetProperty("output_tokens").GetInt32()));
        Assert.Equal(1, done.GetProperty("message_count").GetInt32());
        Assert.True(done.GetProperty("first_token_ms").GetDouble() <= done.GetProperty("duration_ms").GetDouble());
        Assert.True(TimeProvider.System.GetUtcNow() - done.GetProperty("started").GetDateTimeOffset() < TimeSpan.FromMinutes(5));
        Assert.False(done.TryGetProperty("messages", out _));
        Assert.False(done.TryGetProperty("answers", out _));
    }

    [Fact]
    public async Task Client_that_names_no_correlation_id_Has_no_parent()
    {
        var reply = await CallAsync("openai", "openai", true);

        Assert.False((await door.Ear.DoneAsync(reply.TraceId)).Json.TryGetProperty("parent", out _));
    }

    [Fact]
    public async Task Events_close_together_Share_messages_whose_ids_name_their_first_event()
    {
        door.Host("openai").Once(exchange => exchange.StreamAsync(
            OpenAi.Sse, string.Concat(OpenAi.Stream([.. Enumerable.Range(0, 200).Select(static number => $"t{number} ")]))));

        var reply = await CallAsync("openai", "openai", true);

        var messages = await door.Ear.MessagesAsync(reply.TraceId);
        Assert.InRange(messages.Count, 1, 5);
        Assert.All(messages, message => Assert.Equal("application/x-ndjson", message.ContentType));
        Assert.Equal(messages.Select(message => $"{reply.TraceId}/{message.Lines.First().GetProperty("seq").GetInt32()}"), messages.Select(m => m.Id));
        Assert.Equal(string.Concat(Enumerable.Range(0, 200).Select(static number => $"t{number} ")), TextOf([.. messages.SelectMany(m => m.Lines)]));
    }

    [Fact]
    public async Task Tokens_apart_Each_is_published_while_the_call_runs()
    {
        var go = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        door.Host("openai").Once(async exchange =>
        {
            await exchange.HeadAsync(OpenAi.Sse);
            await exchange.ChunkAsync(OpenAi.Role() + OpenAi.Token("early"));
            await go.Task;
            await exchange.ChunkAsync(OpenAi.Token(" late") + OpenAi.Stop() + OpenAi.Done);
            await exchange.EndAsync();
        });
        await using var raw = await RawClient.ConnectAsync(door.Proxy.Address);
        await raw.RequestAsync("POST", "/v1/chat/completions", Encoding.UTF8.GetBytes(OpenAi.Request("openai-m", stream: true)));
        await raw.ReadHeadAsync();
        var traceId = raw.Headers.First(static header => header.Name.Equals("x-trace-id", StringComparison.OrdinalIgnoreCase)).Value;

        await Patience.Until(() => Task.FromResult(door.Ear.Heard.Any(m => m.TraceId == traceId && m.Text.Contains("early", StringComparison.Ordinal))),
            "the first token is published");
        go.SetResult();
        await raw.ReadRestAsync();

        Assert.Equal("early late", TextOf(await door.Ear.EventsAsync(traceId)));
    }

    [Fact]
    public async Task Several_choices_Each_has_one_end_after_all_texts()
    {
        door.Host("openai").Once(exchange => exchange.StreamAsync(OpenAi.Sse, File.ReadAllText(Path.Combine(Wire.Transcripts, "two_choices", "openai.sse"))));

        var reply = await CallAsync("openai", "openai", true);

        var events = await door.Ear.EventsAsync(reply.TraceId);
        var ends = events.SkipWhile(static one => Text(one, "type") != "finished").ToList();
        Assert.All(ends, static one => Assert.Equal("finished", Text(one, "type")));
        Assert.Equal([0, 1], ends.Select(static one => one.TryGetProperty("choice", out var choice) ? choice.GetInt32() : 0).Order());
    }

    [Theory]
    [InlineData("openai")]
    [InlineData("anthropic")]
    public async Task Host_breaks_off_The_end_is_an_error_once(string client)
    {
        door.Host("openai").Once(async exchange =>
        {
            await exchange.HeadAsync(OpenAi.Sse);
            await exchange.ChunkAsync(OpenAi.Role() + OpenAi.Token("half"));
            exchange.Reset();
        });

        var reply = await CallAsync(client, "openai", true);

        var events = await door.Ear.EventsAsync(reply.TraceId);
        Assert.Equal("half", TextOf(events));
        Assert.Equal(1, TypesOf(events).Count(static type => type == "finished"));
        Assert.Equal(("error", "backend_failed"), (Text(events[^1], "reason"), Text(events[^1].GetProperty("error"), "kind")));
        var done = (await door.Ear.DoneAsync(reply.TraceId)).Json;
        Assert.Equal(("backend_error", "error", "backend_failed"), (Text(done, "outcome"), Text(done, "reason"), Text(done, "error")));
    }

    [Fact]
    public async Task Client_leaves_The_end_says_so()
    {
        var left = new TaskCompletionSource<Task>(TaskCreationOptions.RunContinuationsAsynchronously);
        door.Host("openai").Once(async exchange =>
        {
            await exchange.HeadAsync(OpenAi.Sse);
            await exchange.ChunkAsync(OpenAi.Role() + OpenAi.Token("half"));
            left.SetResult(exchange.Gone);
            await exchange.Gone;
        });
        string traceId;
        await using (var raw = await RawClient.ConnectAsync(door.Proxy.Address))
        {
            await raw.RequestAsync("POST", "/v1/chat/completions", Encoding.UTF8.GetBytes(OpenAi.Request("openai-m", stream: true)));
            await raw.ReadHeadAsync();
            traceId = raw.Headers.First(static header => header.Name.Equals("x-trace-id", StringComparison.OrdinalIgnoreCase)).Value;
            await raw.ReadUntilAsync("half");
        }

        await Patience.For(await left.Task, "the host is cancelled");
        var events = await door.Ear.EventsAsync(traceId);
        Assert.Equal(("error", "client_left"), (Text(events[^1], "reason"), Text(events[^1].GetProperty("error"), "kind")));
        Assert.Equal("client_left", Text((await door.Ear.DoneAsync(traceId)).Json, "outcome"));
    }

    [Fact]
    public async Task Call_that_no_host_answers_Is_not_published()
    {
        var refused = await RawClient.SendAsync(door.Proxy.Address, "POST", "/v1/chat/completions", Encoding.UTF8.GetBytes(OpenAi.Request("nobody")));
        var after = await CallAsync("openai", "openai", true);

        await door.Ear.DoneAsync(after.TraceId);
        Assert.Equal(404, refused.Status);
        Assert.DoesNotContain(door.Ear.Heard, message => message.TraceId == refused.TraceId);
    }

    [Theory]
    [InlineData("x-publish: none")]
    [InlineData($"authorization: Bearer {SilentKey}")]
    public async Task Header_or_key_asks_for_silence_Nothing_is_published(string header)
    {
        var silent = await CallAsync("openai", "openai", true, header);
        var loud = await CallAsync("openai", "openai", true, $"authorization: Bearer {LoudKey}");

        await door.Ear.DoneAsync(loud.TraceId); // what was published before it has arrived
        Assert.Equal(200, silent.Status);
        Assert.DoesNotContain(door.Ear.Heard, message => message.TraceId == silent.TraceId);
    }

    [Theory]
    [InlineData("/v1/chat/completions", """{"model":"openai-m","messages":[{"role":"user","content":"x"}]}""")]
    [InlineData("/v1/embeddings", """{"model":"openai-m","input":"x"}""")]
    public async Task Another_value_of_x_publish_Is_refused_by_name(string path, string body)
    {
        var reply = await RawClient.SendAsync(door.Proxy.Address, "POST", path, Encoding.UTF8.GetBytes(body), "x-publish: some");

        Assert.Equal(400, reply.Status);
        Assert.Equal("x-publish is 'some'; it can only be none", reply.ErrorMessage);
        Assert.Equal("x-publish", reply.Json.GetProperty("error").GetProperty("param").GetString());
    }

    [Theory]
    [InlineData("x-publish: none")]
    [InlineData($"authorization: Bearer {SilentKey}")]
    public async Task Sensor_that_chats_about_each_finished_call_Ends(string header)
    {
        var session = $"sensor-{Guid.NewGuid():N}";
        using var stop = new CancellationTokenSource();
        var answered = 0;
        var ears = await door.Ear.Connection.SubscribeCoreAsync<byte[]>("done.chat.>", cancellationToken: stop.Token);
        await door.Ear.Connection.PingAsync(stop.Token); // the server has the subscription
        var sensing = SenseAsync();

        for (var i = 0; i < 3; i++) await CallAsync("openai", "openai", true, $"x-session-id: {session}");
        await Patience.Until(() => Task.FromResult(Volatile.Read(ref answered) >= 3), "the sensor has answered each call");
        var later = await CallAsync("openai", "openai", true); // published after all that the sensor's calls could have published
        await door.Ear.DoneAsync(later.TraceId);
        await stop.CancelAsync();
        await sensing;

        Assert.Equal(3, answered);

        async Task SenseAsync()
        {
            try
            {
                await foreach (var message in ears.Msgs.ReadAllAsync(stop.Token))
                {
                    var done = JsonElement.Parse(message.Data!);
                    if (Text(done, "session") != session) continue;
                    await CallAsync("openai", "openai", true, header, $"x-session-id: {session}", $"x-correlation-id: {Text(done, "trace_id")}");
                    Interlocked.Increment(ref answered);
                }
            }
            catch (OperationCanceledException)
            {
                // The test has ended.
            }
        }
    }

    [Fact]
    public async Task Calls_of_a_sensor_that_are_published_Name_the_call_that_they_are_about()
    {
        var first = await CallAsync("openai", "openai", true);
        var second = await CallAsync("openai", "openai", true, $"x-correlation-id: {first.TraceId}");

        Assert.Equal(first.TraceId, Text((await door.Ear.DoneAsync(second.TraceId)).Json, "parent"));
    }

    [Fact]
    public async Task Metrics_and_readiness_Say_that_nats_is_up()
    {
        await CallAsync("openai", "openai", true);

        var ready = await RawClient.SendAsync(door.Proxy.Address, "GET", "/ready");
        var metrics = await RawClient.SendAsync(door.Proxy.Address, "GET", "/metrics");
        Assert.Equal("up", ready.Json.GetProperty("nats").GetProperty("health").GetString());
        Assert.Contains("# TYPE proxy_nats_dropped_total counter\nproxy_nats_dropped_total 0\n", metrics.Text, StringComparison.Ordinal);
        Assert.Contains("\nproxy_nats_up 1\n", metrics.Text, StringComparison.Ordinal);
    }

    internal static string? Text(JsonElement json, string name) => json.TryGetProperty(name, out var value) ? value.GetString() : null;

    internal static string TextOf(IReadOnlyList<JsonElement> events) =>
        string.Concat(events.Where(static one => Text(one, "type") == "token").Select(static one => Text(one, "text")));

    private static string[] TypesOf(IReadOnlyList<JsonElement> events) => [.. events.Select(static one => Text(one, "type")!)];

    private Task<RawReply> CallAsync(string client, string host, bool stream, params string[] headers)
    {
        var (path, body) = Clients[client];
        body = body.Replace("MODEL", $"{host}-m", StringComparison.Ordinal).Replace("STREAM", stream ? "true" : "false", StringComparison.Ordinal);
        return RawClient.SendAsync(door.Proxy.Address, "POST", path, Encoding.UTF8.GetBytes(body), [.. headers, "anthropic-version: 2023-06-01"]);
    }
}
