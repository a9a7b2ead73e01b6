using System.Collections.Concurrent;
using System.Text;
using Proxy.Chat;
using Proxy.Streams;
using Proxy.Tests.Dialects;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>
/// Checks that a gate holds back the end of an answer, as a record will until it is committed: in every client's dialect, relayed and translated, streamed
/// and whole, on both transports. Also checks that a tap sees the host's frames, even after the client has disconnected.
/// </summary>
public sealed class GateTests(GateTests.Doors doors) : IClassFixture<GateTests.Doors>
{
    private static readonly string[] Transports = ["epoll", "sockets"];

    /// <summary>By client: its path, its body, and what its stream must not have said while the gate is closed.</summary>
    private static readonly Dictionary<string, (string Path, string Body, string End)> Clients = new(StringComparer.Ordinal)
    {
        ["openai"] = ("/v1/chat/completions", """{"model":"MODEL","messages":[{"role":"user","content":"x"}],"stream":STREAM}""", "[DONE]"),
        ["completions"] = ("/v1/completions", """{"model":"MODEL","prompt":"x","stream":STREAM}""", "[DONE]"),
        ["responses"] = ("/v1/responses", """{"model":"MODEL","input":"x","stream":STREAM}""", "response.completed"),
        ["ollama"] = ("/api/chat", """{"model":"MODEL","messages":[{"role":"user","content":"x"}],"stream":STREAM}""", "\"done\":true"),
        ["generate"] = ("/api/generate", """{"model":"MODEL","prompt":"x","stream":STREAM}""", "\"done\":true"),
        ["anthropic"] = ("/v1/messages", """{"model":"MODEL","max_tokens":9,"messages":[{"role":"user","content":"x"}],"stream":STREAM}""", "message_stop"),
    };

    public sealed class Doors : IAsyncLifetime
    {
        private readonly Dictionary<string, FakeBackend> hosts = [];
        private readonly Dictionary<string, RoutedProxy> proxies = [];

        internal RoutedProxy this[string transport] => proxies[transport];

        internal FakeBackend Host(string family) => hosts[family];

        /// <summary>The follower of each call that has one, by its correlation id.</summary>
        internal ConcurrentDictionary<string, Follower> Followed { get; } = [];

        public async ValueTask InitializeAsync()
        {
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

            foreach (var transport in Transports)
            {
                proxies[transport] = await RoutedProxy.StartAsync($"""
                    {FrontDoor.Server("", transport)}
                    [inference]
                    bundled = false
                    [log]
                    format = "json"
                    {sections}
                    """, static _ => [], (call, taps, gates) =>
                {
                    if (!Followed.TryGetValue(call.Info.CorrelationId, out var follower)) return;
                    taps.Add(follower);
                    gates.Add(follower);
                });
            }
        }

        public async ValueTask DisposeAsync()
        {
            foreach (var proxy in proxies.Values) await proxy.DisposeAsync();
            foreach (var host in hosts.Values) await host.DisposeAsync();
        }
    }

    /// <summary>A tap and a gate.</summary>
    internal sealed class Follower : IFrameTap, IEndGate
    {
        private readonly TaskCompletionSource<GenerationEnd> asked = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly TaskCompletionSource<ProxyError?> open = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public StringBuilder Seen { get; } = new();

        public Task<GenerationEnd> Asked => asked.Task;

        public void Open(ProxyError? error = null) => open.SetResult(error);

        public void Begin(BackendReply reply) { }

        public void See(long number, ReadOnlySpan<byte> frame, ReadOnlySpan<byte> payload) => Seen.Append(Encoding.UTF8.GetString(frame));

        public async ValueTask<ProxyError?> BeforeEndAsync(GenerationEnd end, CancellationToken cancellation)
        {
            asked.SetResult(end);
            return await open.Task.WaitAsync(cancellation);
        }

        public void Ended(GenerationEnd end) { }
    }

    public static TheoryData<string, string, bool, string> Cells()
    {
        var cells = new TheoryData<string, string, bool, string>();
        foreach (var client in Clients.Keys)
        {
            var same = client is "completions" ? "openai" : client is "generate" ? "ollama" : client;
            foreach (var host in (string[])[same, same is "openai" ? "anthropic" : "openai"])
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

    [Theory]
    [MemberData(nameof(Cells))]
    public async Task Gate_is_closed_The_end_waits_and_then_the_answer_is_whole(string client, string host, bool stream, string transport)
    {
        var (follower, raw, _) = await BeginAsync(client, host, stream, transport);
        await using var call = raw;
        Assert.Equal(EndKind.Whole, (await Patience.For(follower.Asked, "the gate is asked")).Kind);

        var ending = stream ? EndAsync(raw, Clients[client].End) : raw.ReadHeadAsync();
        // Long enough for bytes that were sent already.
        Assert.NotSame(ending, await Task.WhenAny(ending, Task.Delay(50, TestContext.Current.CancellationToken)));
        Assert.Equal(stream, raw.BodySoFar.Contains("wait", StringComparison.Ordinal));
        follower.Open();
        await ending;

        var reply = await raw.ReadRestAsync();
        var seen = MatrixAnswer.Of(client, stream, reply);
        Assert.Equal((200, "The queue holds a \"short\" wait.\n", "stop"), (reply.Status, seen.Text, seen.Reason));
        Assert.Contains("wait", follower.Seen.ToString(), StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(Cells))]
    public async Task Gate_refuses_Client_gets_an_error_of_its_dialect_and_never_the_end(string client, string host, bool stream, string transport)
    {
        var (follower, raw, correlation) = await BeginAsync(client, host, stream, transport);
        await using var call = raw;
        await Patience.For(follower.Asked, "the gate is asked");
        follower.Open(new(ProxyErrorKind.NoBackend, "the record cannot be written"));

        await raw.ReadHeadAsync();
        var reply = await raw.ReadRestAsync();

        Assert.Equal(stream ? 200 : client is "anthropic" ? 529 : 503, reply.Status);
        Assert.Contains("the record cannot be written", reply.Text, StringComparison.Ordinal);
        Assert.DoesNotContain(stream ? Clients[client].End : "wait", reply.Text, StringComparison.Ordinal);
        Assert.Equal("backend_error", (await doors[transport].Log.CallAsync(correlation)).Outcome);
    }

    [Theory]
    [InlineData("epoll")]
    [InlineData("sockets")]
    public async Task Client_leaves_The_host_is_cancelled_and_the_gate_is_not_asked(string transport)
    {
        var go = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var left = new TaskCompletionSource<Task>(TaskCreationOptions.RunContinuationsAsynchronously);
        doors.Host("openai").Once(async exchange =>
        {
            await exchange.HeadAsync(OpenAi.Sse);
            await exchange.ChunkAsync(OpenAi.Token("first"));
            left.SetResult(exchange.Gone);
            await go.Task;
            await exchange.ChunkAsync(OpenAi.Token("last") + OpenAi.Stop() + OpenAi.Done);
            await exchange.EndAsync();
        });
        var (follower, raw, correlation) = await BeginAsync("openai", "openai", true, transport);
        follower.Open();
        await using (raw)
        {
            await raw.ReadHeadAsync();
            await raw.ReadUntilAsync("first");
        }

        await Patience.For((await left.Task), "the host's call is cancelled");
        go.SetResult();

        var line = await doors[transport].Log.CallAsync(correlation);
        Assert.Equal("client_left client 499", line.Verdict);
        Assert.Equal((false, false), (follower.Seen.ToString().Contains("last", StringComparison.Ordinal), follower.Asked.IsCompleted));
    }

    [Theory]
    [InlineData("epoll")]
    [InlineData("sockets")]
    public async Task Answer_has_begun_The_memory_of_the_request_is_given_back(string transport)
    {
        var go = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        ChatCall? seen = null;
        await using var host = FakeBackend.Start();
        host.Answer(async exchange =>
        {
            await exchange.HeadAsync(OpenAi.Sse);
            await exchange.ChunkAsync(OpenAi.Token("first"));
            await go.Task;
            await exchange.ChunkAsync(OpenAi.Stop() + OpenAi.Done);
            await exchange.EndAsync();
        });
        await using var proxy = await RoutedProxy.StartAsync($"""
            {FrontDoor.Server("", transport)}
            [inference]
            bundled = false
            [[backends]]
            name = "a"
            url = "{host.Url}"
            dialects = ["openai"]
            models = ["m"]
            """, direct => [new Watching(direct, call => seen = call)]);
        await using var raw = await RawClient.ConnectAsync(proxy.Address);
        await raw.RequestAsync("POST", "/v1/chat/completions", Encoding.UTF8.GetBytes(OpenAi.Request("m", stream: true)));

        await raw.ReadHeadAsync();
        await raw.ReadUntilAsync("first");
        Assert.Null(seen!.OriginalBody);
        go.SetResult();

        Assert.EndsWith(OpenAi.Done, (await raw.ReadRestAsync()).Text, StringComparison.Ordinal);
    }

    private sealed class Watching(IChatRoute next, Action<ChatCall> see) : IChatRoute
    {
        public string Name => "watching";

        public bool Takes(in RoutedCall call) => true;

        public ValueTask<ChatAnswer> AnswerAsync(RoutedCall call, CancellationToken cancellation)
        {
            see(call.Call);
            return next.AnswerAsync(call, cancellation);
        }
    }

    private static async Task EndAsync(RawClient raw, string end)
    {
        await raw.ReadHeadAsync();
        await raw.ReadUntilAsync(end);
    }

    private async Task<(Follower Follower, RawClient Client, string Correlation)> BeginAsync(
        string client, string host, bool stream, string transport)
    {
        var correlation = FrontDoor.Correlation();
        var follower = doors.Followed[correlation] = new Follower();
        var (path, body, _) = Clients[client];
        body = body.Replace("MODEL", $"{host}-m", StringComparison.Ordinal).Replace("STREAM", stream ? "true" : "false", StringComparison.Ordinal);
        var raw = await RawClient.ConnectAsync(doors[transport].Address);
        await raw.RequestAsync("POST", path, Encoding.UTF8.GetBytes(body), $"x-correlation-id: {correlation}", "anthropic-version: 2023-06-01");
        return (follower, raw, correlation);
    }
}
