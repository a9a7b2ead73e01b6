using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using Proxy.Chat;
using Proxy.Dialects.Events;
using Proxy.Tests.Dialects;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>
/// Two routes besides the direct one, on both transports and in every client's dialect. One edits the call and hands it on, as knowledge will. The other
/// answers with its own events and needs no host, as a workflow will.
/// </summary>
public sealed class RouteTests(RouteTests.Doors doors) : IClassFixture<RouteTests.Doors>
{
    private const string Context = "The handbook says that it holds for 3 min.";
    private const string Sources = """[{"id":"doc 1","title":"Hándbook","uri":"file:///handbook#1","score":0.83},{"id":"b"}]""";

    private static readonly Dictionary<string, string> Asks = new(StringComparer.Ordinal)
    {
        ["openai"] = """/v1/chat/completions {"model":"MODEL","messages":[{"role":"user","content":"Why does the queue hold?"}],"stream":STREAM}""",
        ["completions"] = """/v1/completions {"model":"MODEL","prompt":"Why does the queue hold?","stream":STREAM}""",
        ["responses"] = """/v1/responses {"model":"MODEL","input":"Why does the queue hold?","stream":STREAM}""",
        ["ollama"] = """/api/chat {"model":"MODEL","messages":[{"role":"user","content":"Why does the queue hold?"}],"stream":STREAM}""",
        ["generate"] = """/api/generate {"model":"MODEL","prompt":"Why does the queue hold?","stream":STREAM}""",
        ["anthropic"] = """/v1/messages {"model":"MODEL","max_tokens":99,"messages":[{"role":"user","content":"Why does the queue hold?"}],"stream":STREAM}""",
    };

    private static readonly string[] Hosts = ["openai", "responses", "ollama", "anthropic"];
    private static readonly string[] Transports = ["epoll", "sockets"];

    public sealed class Doors : IAsyncLifetime
    {
        private readonly Dictionary<string, FakeBackend> hosts = [];
        private readonly Dictionary<string, RoutedProxy> proxies = [];

        internal FakeBackend Host(string family) => hosts[family];

        internal RoutedProxy this[string transport] => proxies[transport];

        /// <summary>What a pipeline's answer waits for in its middle, by the pipeline's name.</summary>
        internal ConcurrentDictionary<string, TaskCompletionSource> Holds { get; } = [];

        public async ValueTask InitializeAsync()
        {
            var sections = new StringBuilder();
            foreach (var family in Hosts)
            {
                hosts[family] = FakeBackend.Start();
                hosts[family].Answer(TranscriptHost.AnswerAsync);
                sections.AppendLine($"""
                    [[backends]]
                    name = "{family}"
                    url = "{hosts[family].Url}"
                    dialects = ["{family}"]
                    models = ["{family}-tiny"]
                    """);
            }

            foreach (var (name, models) in new[] { ("limited", "\"openai\""), ("piper", "\"pipeline/*\"") })
            {
                sections.AppendLine($"""
                    [[auth.keys]]
                    name = "{name}"
                    sha256 = "{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes("sk-" + name)))}"
                    models = [{models}]
                    """);
            }

            foreach (var transport in Transports)
            {
                proxies[transport] = await RoutedProxy.StartAsync($"""
                    {FrontDoor.Server("keepalive_after = \"1h\"", transport)}
                    [inference]
                    bundled = false
                    [log]
                    format = "json"
                    [auth]
                    allow_anonymous = true
                    {sections}
                    """, direct => [new Workflow(Holds), new Rag(direct)]);
            }
        }

        public async ValueTask DisposeAsync()
        {
            foreach (var proxy in proxies.Values) await proxy.DisposeAsync();
            foreach (var host in hosts.Values) await host.DisposeAsync();
        }
    }

    /// <summary>Adds context to the request, changes its model, and hands it on with the sources. The workspace <c>bare</c> has no sources.</summary>
    private sealed class Rag(IChatRoute next) : IChatRoute
    {
        public string Name => "rag";

        public bool Takes(in RoutedCall call) => call.Workspace is not null;

        public async ValueTask<ChatAnswer> AnswerAsync(RoutedCall call, CancellationToken cancellation)
        {
            if (call.Call.TryGetRequest(out var request) is { } problem) return new ChatAnswer.Refused(problem);
            var context = new ContentPart.Text(Context);
            // A text to be continued has no system message: the context goes before the text.
            request = request! with
            {
                Model = call.Model + "-tiny",
                Messages = request.Prompt is { Continues: true }
                    ? [request.Messages[0] with { Content = [context, .. request.Messages[0].Content] }]
                    : [new(ChatRole.System, [context]), .. request.Messages],
            };
            var answer = await next.AnswerAsync(call.Edited(request) with { Sources = call.Workspace == "bare" ? null : Found(Sources) }, cancellation);
            return answer with { Headers = [new("x-workspace-version", "7")] };
        }
    }

    /// <summary>Reads what its workers published, one line of which came twice.</summary>
    private sealed class Workflow(ConcurrentDictionary<string, TaskCompletionSource> holds) : IChatRoute
    {
        private const string Published = """
            {"type":"started","id":"wf_1","task":"plan","seq":1}
            {"type":"sources","sources":SOURCES,"task":"plan","seq":2}
            {"type":"token","text":"The queue","task":"draft","model":"phi4","seq":3}
            {"type":"token","text":"The queue","task":"draft","model":"phi4","seq":3}
            {"type":"token","text":" waits.","task":"draft","model":"phi4","seq":4}
            {"type":"usage","input_tokens":9,"output_tokens":7,"task":"draft","seq":5}
            {"type":"finished","reason":"stop","winner":"draft","task":"draft","seq":6}
            """;

        public string Name => "workflow";

        public bool Takes(in RoutedCall call) => call.Pipeline is not null;

        public ValueTask<ChatAnswer> AnswerAsync(RoutedCall call, CancellationToken cancellation) =>
            new(new ChatAnswer.Events(RunAsync(call.Pipeline!, cancellation), null, null)
            {
                KeepAliveAfter = TimeSpan.FromSeconds(2),
                RunId = "run/7",
                Headers = [new("x-workspace-version", call.Workspace ?? "none")],
            });

        private async IAsyncEnumerable<ChatEvent> RunAsync(string pipeline, [EnumeratorCancellation] CancellationToken cancellation)
        {
            var reader = new EventSchemaReader();
            foreach (var line in Published.Replace("SOURCES", Sources, StringComparison.Ordinal).Split('\n'))
            {
                var events = new List<ChatEvent>();
                reader.Read(Encoding.UTF8.GetBytes(line), events);
                foreach (var happened in events)
                {
                    yield return happened;
                    if (happened is ChatEvent.Token { Origin.Seq: 3 } && holds.TryGetValue(pipeline, out var hold)) await hold.Task.WaitAsync(cancellation);
                }
            }
        }
    }

    public static TheoryData<string, string, bool, string> RagCells()
    {
        var cells = new TheoryData<string, string, bool, string>();
        foreach (var client in Asks.Keys)
        {
            foreach (var host in Hosts)
            {
                foreach (var transport in Transports)
                {
                    cells.Add(client, host, true, transport);
                    cells.Add(client, host, false, transport);
                }
            }
        }

        return cells;
    }

    public static TheoryData<string, bool, string> Cells()
    {
        var cells = new TheoryData<string, bool, string>();
        foreach (var client in Asks.Keys)
        {
            foreach (var transport in Transports)
            {
                cells.Add(client, true, transport);
                cells.Add(client, false, transport);
            }
        }

        return cells;
    }

    [Theory]
    [MemberData(nameof(RagCells))]
    public async Task Route_edits_the_call_and_hands_it_on_Host_is_asked_that_and_the_client_learns_the_sources(
        string client, string host, bool stream, string transport)
    {
        var model = $"{host}#handbook";
        var (reply, line) = await AskAsync(client, stream, transport, model);

        Assert.True(reply.Status == 200, reply.Text);
        var asked = doors.Host(host).Calls.Last(call => call.Header("x-trace-id") == reply.TraceId);
        Assert.Contains(Context, asked.Text, StringComparison.Ordinal);
        Assert.Contains("Why does the queue hold?", asked.Text, StringComparison.Ordinal);
        Assert.Equal($"{host}-tiny", asked.Json.GetProperty("model").GetString());
        var seen = MatrixAnswer.Of(client, stream, reply);
        Assert.Equal(("The queue holds a \"short\" wait.\n", "stop"), (seen.Text, seen.Reason));
        Assert.DoesNotContain("tiny", reply.Text, StringComparison.Ordinal); // the model is called as the client called it
        SameNote(client, stream, reply, $$"""{"trace_id":"{{reply.TraceId}}","sources":{{Sources}}}""");
        Assert.Equal((stream ? null : "doc%201, b", null), (reply.Header("x-proxy-sources"), reply.Header("x-proxy-winner")));
        Assert.Equal("7", reply.Header("x-workspace-version"));
        Assert.Equal($"{host} {model} {host}-tiny rag ok", $"{line.Backend} {line["model"]} {line["served"]} {line["route"]} {line.Outcome}");
    }

    [Theory]
    [MemberData(nameof(Cells))]
    public async Task Route_answers_with_events_Every_dialect_says_them_and_no_host_is_asked(string client, bool stream, string transport)
    {
        var (reply, line) = await AskAsync(client, stream, transport, "pipeline/support", "x-workspace: handbook");

        Assert.True(reply.Status == 200, reply.Text);
        var seen = MatrixAnswer.Of(client, stream, reply);
        Assert.Equal(("The queue waits.", "stop"), (seen.Text, seen.Reason));
        SameNote(client, stream, reply, $$"""{"trace_id":"{{reply.TraceId}}","winner":"draft","task":"draft","run_id":"run/7","sources":{{Sources}}}""");
        string[] told = ["x-proxy-winner", "x-proxy-task", "x-proxy-run-id", "x-proxy-sources"];
        Assert.Equal(stream ? [null, null, null, null] : ["draft", "draft", "run%2F7", "doc%201, b"], told.Select(reply.Header));
        Assert.Equal("handbook", reply.Header("x-workspace-version"));
        Assert.Equal("pipeline/support workflow 9 7 ok", $"{line["model"]} {line["route"]} {line["tokens_in"]} {line["tokens_out"]} {line.Outcome}");
        Assert.Null(line.Backend);
    }

    [Theory]
    [InlineData("openai", "epoll")]
    [InlineData("openai", "sockets")]
    [InlineData("completions", "epoll")]
    [InlineData("responses", "epoll")]
    [InlineData("anthropic", "epoll")]
    [InlineData("anthropic", "sockets")]
    public async Task Route_is_quiet_for_long_Client_is_kept_by_the_routes_own_period(string client, string transport)
    {
        var pipeline = Guid.NewGuid().ToString("N");
        var hold = doors.Holds[pipeline] = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var (path, body) = Ask(client, true, $"pipeline/{pipeline}");
        await using var raw = await RawClient.ConnectAsync(doors[transport].Address);
        await raw.RequestAsync("POST", path, Encoding.UTF8.GetBytes(body));
        await raw.ReadHeadAsync();
        await raw.ReadUntilAsync("The queue");
        var alive = client == "anthropic" ? "event: ping" : ": keep-alive";
        Assert.DoesNotContain(alive, raw.BodySoFar, StringComparison.Ordinal);

        var reading = raw.ReadUntilAsync(alive);
        for (var i = 0; i < 600 && !reading.IsCompleted; i++)
        {
            doors[transport].Time.Advance(TimeSpan.FromSeconds(2)); // far from the hour that the file sets
            await Task.WhenAny(reading, Task.Delay(5, TestContext.Current.CancellationToken));
        }

        Assert.True(reading.IsCompleted);
        await reading;
        hold.SetResult();
        var reply = await raw.ReadRestAsync();
        Assert.Equal("The queue waits.", MatrixAnswer.Of(client, true, reply).Text);
    }

    [Fact]
    public async Task Client_leaves_a_quiet_route_The_call_ends()
    {
        var pipeline = Guid.NewGuid().ToString("N");
        doors.Holds[pipeline] = new TaskCompletionSource();
        var (path, body) = Ask("openai", true, $"pipeline/{pipeline}");
        var correlation = FrontDoor.Correlation();
        await using (var raw = await RawClient.ConnectAsync(doors["epoll"].Address))
        {
            await raw.RequestAsync("POST", path, Encoding.UTF8.GetBytes(body), $"x-correlation-id: {correlation}");
            await raw.ReadHeadAsync();
            await raw.ReadUntilAsync("The queue");
        }

        Assert.Equal("client_left client 499", (await doors["epoll"].Log.CallAsync(correlation)).Verdict);
    }

    [Fact]
    public async Task Edited_call_names_no_sources_Client_of_the_hosts_dialect_gets_the_hosts_bytes()
    {
        const string Counts = """data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795000000,"model":"served","choices":[],"usage":"""
            + """{"prompt_tokens":9,"completion_tokens":7,"total_tokens":16}}""" + "\n\n";
        var sent = OpenAi.Stream("fi", "ne");
        doors.Host("openai").Once(exchange => exchange.StreamAsync(OpenAi.Sse, [.. sent[..^1], Counts, OpenAi.Done]));

        var (reply, line) = await AskAsync("openai", true, "epoll", "openai#bare");

        Assert.Equal(string.Concat(sent).Replace("\"served\"", "\"openai#bare\"", StringComparison.Ordinal), reply.Text);
        Assert.Equal("7", reply.Header("x-workspace-version"));
        var asked = doors.Host("openai").Calls.Last(call => call.Header("x-trace-id") == reply.TraceId);
        Assert.Equal("""{"include_usage":true}""", asked.Json.GetProperty("stream_options").GetRawText()); // asked for by us alone, and so not passed on
        Assert.Equal("9 7", $"{line["tokens_in"]} {line["tokens_out"]}");
    }

    [Theory]
    [InlineData("sk-limited", "openai#handbook", 200)]
    [InlineData("sk-limited", "ollama#handbook", 404)]
    [InlineData("sk-limited", "pipeline/support", 403)]
    [InlineData("sk-piper", "pipeline/support", 200)]
    [InlineData("sk-piper", "openai#handbook", 404)]
    public async Task Key_may_use_some_models_The_one_that_is_left_of_the_name_counts(string key, string model, int status)
    {
        var (reply, line) = await AskAsync("openai", false, "sockets", model, $"Authorization: Bearer {key}");

        Assert.True(reply.Status == status, reply.Text);
        Assert.Equal(model, line["model"]); // as it was asked for
        if (status == 404) Assert.Contains($"'{model.Split('#')[0]}'", reply.ErrorMessage, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("x-route: direct", "openai#handbook")]
    [InlineData("x-route: workflow", "openai-tiny")]
    public async Task Route_is_forced_that_the_name_contradicts_Refused(string header, string model)
    {
        var (reply, _) = await AskAsync("openai", true, "epoll", model, header);

        Assert.Equal((400, "x-route"), (reply.Status, reply.Json.GetProperty("error").GetProperty("param").GetString()));
        Assert.Null(reply.Header("x-workspace-version"));
    }

    private static (string Path, string Body) Ask(string client, bool stream, string model)
    {
        var parts = Asks[client].Split(' ', 2);
        return (parts[0], parts[1].Replace("MODEL", model, StringComparison.Ordinal).Replace("STREAM", stream ? "true" : "false", StringComparison.Ordinal));
    }

    private Task<(RawReply Reply, CallLine Line)> AskAsync(string client, bool stream, string transport, string model, params string[] headers)
    {
        var (path, body) = Ask(client, stream, model);
        return doors[transport].CallAsync(path, body, client == "anthropic" ? [.. headers, "anthropic-version: 2023-06-01"] : headers);
    }

    /// <summary>The note stands once, in the last frame of a stream that can hold it, or in the whole answer.</summary>
    private static void SameNote(string client, bool stream, RawReply reply, string expected)
    {
        var frames = client is "ollama" or "generate" ? reply.JsonLines.Select(line => line.GetRawText()) : reply.Events.Where(data => data != "[DONE]");
        string[] documents = stream ? [.. frames] : [reply.Text];
        var last = JsonNode.Parse(documents[^1])!;

        Assert.Single(documents, document => document.Contains("\"x_proxy\"", StringComparison.Ordinal));
        var note = (client == "responses" && stream ? last["response"] : last)!["x_proxy"];
        Assert.True(JsonNode.DeepEquals(JsonNode.Parse(expected), note), $"expected {expected}\ngot      {note?.ToJsonString()}");
    }

    private static IReadOnlyList<Source> Found(string sources) =>
        [.. JsonNode.Parse(sources)!.AsArray()
            .Select(one => new Source((string)one!["id"]!, (string?)one["title"], (string?)one["uri"], (double?)one["score"]))];
}
