using System.Text;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>Two proxies on one database and without NATS answer an <c>Idempotency-Key</c> once.</summary>
public sealed class SharedStoreKeyTests
{
    private const string Key = "Idempotency-Key: order-17";

    private static readonly string Body = OpenAi.Request("served", stream: true);

    [Theory]
    [InlineData("postgres")]
    [InlineData("sqlite")]
    public async Task Both_proxies_get_the_same_keys_at_once_The_host_generates_each_once(string kind)
    {
        const int Pairs = 50;
        await using var house = await House.StartAsync(kind);
        var count = 0;
        house.Host.Answer(async exchange =>
        {
            var number = Interlocked.Increment(ref count);
            await exchange.HeadAsync(OpenAi.Sse);
            foreach (var frame in OpenAi.Stream([.. Enumerable.Range(0, 10).Select(i => $" {number}-{i}")]))
            {
                await exchange.ChunkAsync(frame);
                await Task.Delay(5); // a generation takes time
            }

            await exchange.EndAsync();
        });

        var replies = await Task.WhenAll(Enumerable.Range(0, Pairs).Select(i => Task.WhenAll(
            House.PostAsync(house.A, Body, $"Idempotency-Key: k{i}"), House.PostAsync(house.B, Body, $"Idempotency-Key: k{i}"))));

        Assert.All(replies, static pair =>
        {
            Assert.Equal((200, 200), (pair[0].Status, pair[1].Status));
            Assert.Equal(pair[0].Text, pair[1].Text);
            Assert.EndsWith(OpenAi.Done, pair[0].Text, StringComparison.Ordinal);
            Assert.Single(pair, static reply => reply.Header("idempotent-replayed") == "true");
        });
        Assert.Equal(Pairs, house.Host.Calls.Count);
        Assert.Equal(Pairs, replies.Select(static pair => pair[0].Text).Distinct().Count());
    }

    [Fact]
    public async Task Other_body_comes_while_the_key_is_answered_elsewhere_It_is_refused()
    {
        await using var house = await House.StartAsync("postgres");
        var running = house.Expect();
        await using var first = await House.CallAsync(house.A, Body, Key);
        running.Send(OpenAi.Role() + OpenAi.Token("One"));
        await first.ReadHeadAsync();
        await first.ReadUntilAsync("One");

        var other = await House.PostAsync(house.B, OpenAi.Request("served", stream: true, text: "else"), Key);

        Assert.Equal((422, "false"), (other.Status, other.Header("x-should-retry")));
        running.Send(OpenAi.Token(" two"));
        Assert.Single(house.Host.Calls);
    }

    [Fact]
    public async Task First_generation_fails_The_call_that_waits_generates()
    {
        await using var house = await House.StartAsync("postgres");
        var broken = house.Expect();
        var first = House.PostAsync(house.A, Body, Key);
        broken.Send(OpenAi.Role());
        await Patience.For(house.Host.NextCallAsync(), "the first call at the host");
        var waiting = House.PostAsync(house.B, Body, Key);
        house.Expect().End(OpenAi.Stream("Two"));
        broken.End(OpenAi.ErrorFrame("out of memory"));

        Assert.Contains("\"error\"", (await first).Text, StringComparison.Ordinal);
        Assert.Equal(string.Concat(OpenAi.Stream("Two")), (await waiting).Text);
        Assert.Equal(2, house.Host.Calls.Count);
    }

    [Fact]
    public async Task Call_waits_long_for_the_answer_of_the_other_proxy_Its_stream_is_kept_alive()
    {
        await using var house = await House.StartAsync("sqlite", "keepalive_after = \"100ms\"");
        var running = house.Expect();
        await using var first = await House.CallAsync(house.A, Body, Key);
        running.Send(OpenAi.Role() + OpenAi.Token("One"));
        await first.ReadHeadAsync();
        await first.ReadUntilAsync("One");

        await using var waiting = await House.CallAsync(house.B, Body, Key);
        await waiting.ReadHeadAsync();
        await waiting.ReadUntilAsync(":");
        running.End(OpenAi.Token(" two"), OpenAi.Done);

        var (one, two) = (await first.ReadRestAsync(), await waiting.ReadRestAsync());
        Assert.Equal((200, true), (two.Status, two.Text.StartsWith(':')));
        Assert.Equal(Frames(one), Frames(two));
        Assert.Single(house.Host.Calls);

        static IEnumerable<string> Frames(RawReply reply) =>
            reply.Text.Split("\n\n").Where(static frame => !frame.StartsWith(':'));
    }

    [Theory]
    [InlineData("postgres")]
    [InlineData("sqlite")]
    public async Task Proxy_that_generates_is_killed_The_call_that_waits_takes_the_key_over(string kind)
    {
        await using var house = await House.StartAsync(kind);
        var lost = house.Expect();
        await using var first = await House.CallAsync(house.A, Body, Key);
        lost.Send(OpenAi.Role() + OpenAi.Token("One"));
        await first.ReadHeadAsync();
        await first.ReadUntilAsync("One");
        var waiting = House.PostAsync(house.B, Body, Key);
        house.Expect().End(OpenAi.Stream("Two"));

        await house.A.KillAsync();

        Assert.Equal(string.Concat(OpenAi.Stream("Two")), (await waiting).Text);
        Assert.Equal(2, house.Host.Calls.Count);
        Assert.Equal("true", (await House.PostAsync(house.B, Body, Key)).Header("idempotent-replayed"));
    }

    /// <summary>Two proxies with one database before one host.</summary>
    private sealed class House : IAsyncDisposable
    {
        private const string Ann = "Authorization: Bearer ann-secret";

        private readonly PostgresServer? server;
        private readonly string state = Directory.CreateTempSubdirectory("proxy-house-").FullName;

        private House(PostgresServer? server) => this.server = server;

        public FakeBackend Host { get; } = FakeBackend.Start();

        public ProxyProcess A { get; private set; } = null!;

        public ProxyProcess B { get; private set; } = null!;

        public static async Task<House> StartAsync(string kind, string settings = "")
        {
            var house = new House(kind == "postgres" ? await PostgresServer.StartAsync() : null);
            house.A = await house.StartProxyAsync(settings);
            house.B = await house.StartProxyAsync(settings);
            return house;
        }

        public static async Task<RawClient> CallAsync(ProxyProcess proxy, string body, params string[] headers)
        {
            var client = await RawClient.ConnectAsync(proxy.Address);
            await client.RequestAsync("POST", StreamHouse.Chat, Encoding.UTF8.GetBytes(body), [.. headers, Ann]);
            return client;
        }

        public static Task<RawReply> PostAsync(ProxyProcess proxy, string body, params string[] headers) =>
            RawClient.SendAsync(proxy.Address, "POST", StreamHouse.Chat, Encoding.UTF8.GetBytes(body), [.. headers, Ann]);

        public ScriptedAnswer Expect()
        {
            var answer = new ScriptedAnswer();
            Host.Once(exchange => answer.RunAsync(exchange, OpenAi.Sse));
            return answer;
        }

        public async ValueTask DisposeAsync()
        {
            await A.DisposeAsync();
            await B.DisposeAsync();
            await Host.DisposeAsync();
            if (server is not null) await server.DisposeAsync();
            Directory.Delete(state, recursive: true);
        }

        private Task<ProxyProcess> StartProxyAsync(string settings) => ProxyProcess.StartAsync(
            $"""
            {FrontDoor.Server(settings)}
            [inference]
            bundled = false
            [log]
            format = "json"
            [[backends]]
            name = "a"
            url = "{Host.Url}"
            dialects = ["openai"]
            models = ["served"]
            [[auth.keys]]
            name = "ann"
            sha256 = "{Proxy.Config.ApiKeyConfig.Digest("ann-secret")}"
            [store]
            {(server is null ? "" : $"kind = \"postgres\"\nurl = \"{server.Url()}\"")}
            """,
            state: state);
    }
}
