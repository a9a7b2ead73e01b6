using System.Net;
using System.Net.Sockets;
using Proxy.Backends;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>Backends that lead back to the proxy itself: a call ends at its second visit.</summary>
public sealed class ProxyLoopTests
{
    [Fact]
    public async Task Two_proxies_are_each_others_default_A_call_ends_at_once_and_few_descriptors_are_opened()
    {
        var (a, b) = (FreePort(), FreePort());
        await using var first = await StartAsync(a, b);
        await using var second = await StartAsync(b, a);
        var before = (Descriptors(first), Descriptors(second));

        var reply = await RawClient.SendAsync(first.Address, "POST", "/v1/chat/completions", System.Text.Encoding.UTF8.GetBytes(OpenAi.Request("unknown")), []);
        var later = await RawClient.SendAsync(second.Address, "POST", "/api/chat", System.Text.Encoding.UTF8.GetBytes(Ollama.Request("unknown")), []);

        Assert.Equal((508, "proxy_loop"), (reply.Status, reply.ErrorCode));
        Assert.Equal("false", reply.Header("x-should-retry"));
        Assert.Equal(508, later.Status);
        Assert.InRange(Descriptors(first) - before.Item1, -50, 50);
        Assert.InRange(Descriptors(second) - before.Item2, -50, 50);
    }

    [Fact]
    public async Task Proxy_is_its_own_backend_by_an_address_that_hides_it_A_call_ends_at_its_second_visit()
    {
        await using var relay = new Detour(FreePort());
        await using var proxy = await StartAsync(relay.To, relay.Port);
        var before = Descriptors(proxy);

        for (var i = 0; i < 3; i++)
        {
            var reply = await RawClient.SendAsync(proxy.Address, "POST", "/v1/messages", System.Text.Encoding.UTF8.GetBytes(Anthropic.Request("unknown")), []);
            Assert.Equal(
                (508, "false", "api_error"), (reply.Status, reply.Header("x-should-retry"), reply.Json.GetProperty("error").GetProperty("type").GetString()));
        }

        Assert.InRange(Descriptors(proxy) - before, -50, 50);
    }

    [Theory]
    [InlineData("check")]
    [InlineData("serve")]
    public async Task Url_is_the_proxys_own_listener_It_is_refused_before_it_serves(string verb)
    {
        var (exit, output) = await ProxyProcess.RunAsync(
            "[server]\nlisten = [\"127.0.0.1:18080\"]\n[[backends]]\nname = \"me\"\nurl = \"http://localhost:18080/v1\"\n", verb);

        Assert.Equal(3, exit);
        Assert.Contains("config.toml:5: backends[0].url: \"http://localhost:18080/v1\" is this proxy's own listener", output);
    }

    [Theory]
    [InlineData("/v1/chat/completions", """{"error":{"message":"MESSAGE","type":"proxy_error","param":null,"code":"proxy_loop","status":508}}""")]
    [InlineData("/v1/responses", """{"error":{"message":"MESSAGE","type":"proxy_error","param":null,"code":"proxy_loop","status":508}}""")]
    [InlineData("/v1/embeddings", """{"error":{"message":"MESSAGE","type":"proxy_error","param":null,"code":"proxy_loop","status":508}}""")]
    [InlineData("/v1/whatever", """{"error":{"message":"MESSAGE","type":"proxy_error","param":null,"code":"proxy_loop","status":508}}""")]
    [InlineData("/api/chat", """{"error":"MESSAGE"}""")]
    [InlineData("/api/show", """{"error":"MESSAGE"}""")]
    [InlineData("/v1/messages", """{"type":"error","error":{"type":"api_error","message":"MESSAGE"},"request_id":"TRACE"}""")]
    [InlineData("/v1/messages/count_tokens", """{"type":"error","error":{"type":"api_error","message":"MESSAGE"},"request_id":"TRACE"}""")]
    [InlineData("/rerank", """{"error":"MESSAGE","error_type":"Backend"}""")]
    public async Task Call_comes_back_It_is_refused_in_the_words_of_its_dialect(string path, string body)
    {
        await using var peer = (await PeerProxy.StartAsync(1))[0].Configure("");
        var via = $"1.1 nginx, 1.1 {peer.Id}, 1.1 other (a comment)";

        var reply = await peer.PostAsync(path, OpenAi.Request("echo"), $"via: {via}");

        Assert.Equal((508, "false"), (reply.Status, reply.Header("x-should-retry")));
        var message = $"this call is in a loop: it left this proxy ({peer.Id}) for a backend that leads back to it (Via: {via}); the operator has to change a backend's url";
        Assert.Equal(body.Replace("MESSAGE", message, StringComparison.Ordinal).Replace("TRACE", reply.TraceId, StringComparison.Ordinal), reply.Text.Replace("\\u0027", "'", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(7, 200)]
    [InlineData(8, 508)]
    [InlineData(30, 508)]
    public async Task Call_has_passed_many_proxies_Eight_are_the_most(int before, int status)
    {
        await using var peer = (await PeerProxy.StartAsync(1))[0].Configure("");

        var reply = await peer.PostAsync(
            "/v1/chat/completions", OpenAi.Request("echo"), $"via: {string.Join(", ", Enumerable.Range(0, before).Select(static i => $"1.1 p{i}"))}");

        Assert.Equal(status, reply.Status);
        if (status == 508) Assert.Contains("has passed through 8 proxies", reply.ErrorMessage);
    }

    [Theory]
    [InlineData("openai")]
    [InlineData("anthropic")]
    public async Task Host_says_508_No_other_is_asked_none_is_marked_and_it_is_passed_on(string dialect)
    {
        const string Said = """{"error":{"message":"round and round","type":"proxy_error","param":null,"code":"proxy_loop","status":508}}""";
        await using var first = FakeBackend.Start();
        await using var second = FakeBackend.Start();
        await using var peer = (await PeerProxy.StartAsync(1))[0].Configure(PeerProxy.Backend("first", first.Url, "models = [\"m\"]\ndialects = [\"openai\"]")
            + PeerProxy.Backend("second", second.Url, "models = [\"m\"]\ndialects = [\"openai\"]"));
        first.Answer(static exchange => exchange.JsonAsync(Said, 508, "X-Should-Retry: false"));
        second.Answer(static exchange => exchange.JsonAsync(Said, 508, "X-Should-Retry: false"));

        for (var i = 0; i < 8; i++)
        {
            var reply = dialect == "openai"
                ? await peer.PostAsync("/v1/chat/completions", OpenAi.Request("m"))
                : await peer.PostAsync("/v1/messages", Anthropic.Request("m"));
            Assert.Equal((508, "false"), (reply.Status, reply.Header("x-should-retry")));
            if (dialect == "openai") Assert.Equal(Said, reply.Text);
            else Assert.Equal(("api_error", "round and round"),
                (reply.Json.GetProperty("error").GetProperty("type").GetString(), reply.Json.GetProperty("error").GetProperty("message").GetString()));
        }

        Assert.Equal(8, first.Calls.Count + second.Calls.Count);
        Assert.All(peer.Parts.Directory.Table.All, static backend => Assert.Equal(BreakerState.Closed, backend.State.Breaker));
    }

    [Fact]
    public async Task Candidate_leads_back_Another_one_answers()
    {
        var peers = await PeerProxy.StartAsync(2);
        await using var host = FakeBackend.Start();
        host.Answer(static exchange => exchange.JsonAsync(OpenAi.Whole("well")));
        await using var a = peers[0].Configure("default_backend = \"b\"\n" + PeerProxy.Backend("b", peers[1].Url));
        await using var b = peers[1].Configure(PeerProxy.Backend("a", peers[0].Url, "models = [\"m\"]\nweight = 1000")
            + PeerProxy.Backend("host", host.Url, "models = [\"m\"]\ndialects = [\"openai\"]"));
        await a.ProbeAsync();
        await b.ProbeAsync();

        for (var i = 0; i < 10; i++)
        {
            var reply = await a.PostAsync("/v1/chat/completions", OpenAi.Request("m"));
            Assert.True(reply.Status == 200, reply.Text);
        }

        Assert.Equal(10, host.Calls.Count);
    }

    private static int Descriptors(ProxyProcess proxy) => Directory.GetFiles($"/proc/{proxy.Id}/fd").Length;

    private static Task<ProxyProcess> StartAsync(int own, int other) => ProxyProcess.StartAsync($"""
        default_backend = "peer"
        [server]
        listen = ["127.0.0.1:{own}"]
        [log]
        format = "json"
        [[backends]]
        name = "peer"
        url = "http://127.0.0.1:{other}"
        """);

    private static int FreePort()
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return ((IPEndPoint)socket.LocalEndPoint!).Port;
    }

    /// <summary>Forwards a port to another one, byte by byte.</summary>
    private sealed class Detour : IAsyncDisposable
    {
        private readonly Socket listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        private readonly CancellationTokenSource over = new();
        private readonly Task accepting;

        public Detour(int to)
        {
            To = to;
            listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
            listener.Listen(512);
            accepting = AcceptAsync();
        }

        public int To { get; }

        public int Port => ((IPEndPoint)listener.LocalEndPoint!).Port;

        public async ValueTask DisposeAsync()
        {
            await over.CancelAsync();
            listener.Dispose();
            await accepting;
            over.Dispose();
        }

        private async Task AcceptAsync()
        {
            try
            {
                while (true) _ = PassAsync(await listener.AcceptAsync(over.Token));
            }
            catch (Exception end) when (end is OperationCanceledException or SocketException or ObjectDisposedException)
            {
                // The test is over.
            }
        }

        private async Task PassAsync(Socket client)
        {
            using var near = client;
            using var far = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            try
            {
                await far.ConnectAsync(IPAddress.Loopback, To, over.Token);
                await Task.WhenAny(CopyAsync(near, far), CopyAsync(far, near));
            }
            catch (Exception end) when (end is OperationCanceledException or SocketException)
            {
                // One side has left, or is not there yet.
            }
        }

        private async Task CopyAsync(Socket from, Socket to)
        {
            var buffer = new byte[16384];
            try
            {
                while (await from.ReceiveAsync(buffer, over.Token) is var read and > 0)
                {
                    for (var sent = 0; sent < read;) sent += await to.SendAsync(buffer.AsMemory(sent, read - sent), over.Token);
                }
            }
            catch (Exception end) when (end is OperationCanceledException or SocketException or ObjectDisposedException)
            {
                // One side has left.
            }
        }
    }

}
