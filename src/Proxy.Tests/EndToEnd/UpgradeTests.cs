using System.Text;
using Proxy.Config;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>
/// Two versions of the proxy on the same NATS, PostgreSQL and SQLite file, as during an upgrade, and back. <c>PROXY_PREVIOUS</c> names the binary of the
/// previous version: <c>packaging/upgrade.sh</c> builds it and runs these tests. Without it, both are the version under test.
/// </summary>
[Trait("Category", "Slow")]
public sealed class UpgradeTests : IAsyncLifetime
{
    private const string Ann = "Authorization: Bearer ann-secret", Key = "Idempotency-Key: order-17";

    private static readonly string? Previous = Environment.GetEnvironmentVariable("PROXY_PREVIOUS") is { Length: > 0 } path ? Path.GetFullPath(path) : null;
    private static readonly string Body = OpenAi.Request("served", stream: true);
    private static readonly string[] Answer = OpenAi.Stream("One", " two", " three", " four");

    private readonly FakeBackend host = FakeBackend.Start();
    private readonly List<ProxyProcess> proxies = [];
    private NatsServer? nats;
    private PostgresServer? postgres;

    public ValueTask InitializeAsync() => default;

    public async ValueTask DisposeAsync()
    {
        foreach (var proxy in proxies) await proxy.DisposeAsync();
        await host.DisposeAsync();
        if (nats is not null) await nats.DisposeAsync();
        if (postgres is not null) await postgres.DisposeAsync();
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Answer_is_resumed_on_the_other_version(bool upgrade)
    {
        var (first, other) = await StartBothAsync(upgrade);
        var (location, begun, answer) = await BeginAsync(first);
        await using var rest = await RawClient.ConnectAsync(other.Address);
        await rest.RequestAsync("GET", location, null, Ann, $"Last-Event-ID: {begun.Split("\nid: ").Last().Split('\n')[0]}");
        answer.Send(Answer[3]);
        await rest.ReadHeadAsync();
        await rest.ReadUntilAsync("three");
        answer.End(Answer[4..]);

        var ended = (await rest.ReadRestAsync()).Text;
        var whole = await GetAsync(first, location);
        Assert.Equal(whole.Text, begun + ended);
        Assert.Equal(whole.Text, (await GetAsync(other, location)).Text);
        Assert.Equal((await GetAsync(first, location + "?as=anthropic")).Text, (await GetAsync(other, location + "?as=anthropic")).Text);
        Assert.Single(host.Calls);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Version_that_generates_is_killed_The_other_gives_what_was_journaled_and_an_error(bool upgrade)
    {
        var (first, other) = await StartBothAsync(upgrade);
        var (location, _, _) = await BeginAsync(first);
        // The answer's first frames reach its shared journal a moment after its client.
        await Patience.Until(IsThereAsync, "the other version knows the answer");
        await using var reading = await RawClient.ConnectAsync(other.Address);
        await reading.RequestAsync("GET", location, null, Ann);
        await reading.ReadHeadAsync();
        await reading.ReadUntilAsync("two");
        await first.KillAsync();

        Assert.Contains("\"error\"", (await reading.ReadRestAsync()).Text, StringComparison.Ordinal);

        async Task<bool> IsThereAsync()
        {
            await using var asking = await RawClient.ConnectAsync(other.Address);
            await asking.RequestAsync("GET", location, null, Ann);
            await asking.ReadHeadAsync();
            return asking.Status is 200;
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Key_is_joined_and_replayed_by_the_other_version(bool upgrade)
    {
        var (first, other) = await StartBothAsync(upgrade);
        var answer = Expect();
        var call = PostAsync(first, Body, Key);
        await Patience.For(answer.Asked, "the call");
        answer.Send(Answer[0] + Answer[1]);
        await using var joined = await CallAsync(other, Body, Key);
        await joined.ReadHeadAsync();
        await joined.ReadUntilAsync("One");
        answer.End(Answer[2..]);

        var whole = await call;
        Assert.Equal((200, string.Concat(Answer)), (whole.Status, whole.Text));
        Assert.EndsWith(OpenAi.Done, (await joined.ReadRestAsync()).Text, StringComparison.Ordinal);
        var replayed = await PostAsync(other, Body, Key);
        Assert.Equal((whole.Text, "true", whole.TraceId), (replayed.Text, replayed.Header("idempotent-replayed"), replayed.Header("x-joined-trace-id")));
        Assert.Equal(422, (await PostAsync(other, OpenAi.Request("served", stream: true, text: "else"), Key)).Status);
        Assert.Single(host.Calls);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Both_versions_write_records_to_one_database(bool upgrade)
    {
        const int Each = 20;
        var (first, other) = await StartBothAsync(upgrade);
        host.Answer(static exchange => exchange.JsonAsync(OpenAi.Whole("all")));
        var replies = await Task.WhenAll(Enumerable.Range(0, Each).SelectMany(_ => new[] { first, other })
            .Select(proxy => PostAsync(proxy, OpenAi.Request("served"), "x-correlation-id: counted")));

        Assert.All(replies, static reply => Assert.Equal(200, reply.Status));
        var rows = (await postgres!.QueryAsync("select trace_id from proxy.exchanges where correlation_id = 'counted' and status = 'ok'")).Cast<string>();
        Assert.Equal(replies.Select(static reply => reply.TraceId).Order(), rows.Order());
        Assert.Equal(2M * Each, (await postgres.QueryAsync("select sum(requests) from proxy.usage_daily")).Single());
        Assert.Equal((await GetAsync(first, "/v1/usage")).Text, (await GetAsync(other, "/v1/usage")).Text);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task SQLite_file_is_shared_and_taken_over_and_back(bool upgrade)
    {
        var state = Directory.CreateTempSubdirectory("proxy-upgrade-").FullName;
        try
        {
            string[] keys = ["Idempotency-Key: k0", "Idempotency-Key: k1", "Idempotency-Key: k2"];
            var texts = new List<string>();
            for (var turn = 0; turn < keys.Length; turn++)
            {
                var proxy = await StartAsync(isPrevious: turn % 2 == 0 == upgrade, "[store]\nkind = \"sqlite\"", state);
                proxies.Add(proxy);
                for (var before = 0; before < turn; before++)
                {
                    var replayed = await PostAsync(proxy, Body, keys[before]);
                    Assert.Equal((texts[before], "true"), (replayed.Text, replayed.Header("idempotent-replayed")));
                }

                Expect().End(OpenAi.Stream($"turn {turn}"));
                texts.Add((await PostAsync(proxy, Body, keys[turn])).Text);
                Assert.EndsWith(OpenAi.Done, texts[turn], StringComparison.Ordinal);
                await Patience.Until(async () => (await GetAsync(proxy, "/v1/usage")).Json.GetProperty("data").EnumerateArray()
                    .Sum(static day => day.GetProperty("requests").GetInt64()) == turn + 1, "the usage counts the calls of both versions");
                if (turn > 0) await proxies[turn - 1].KillAsync(); // both have been open for a while
            }

            Assert.Equal(keys.Length, host.Calls.Count);
        }
        finally
        {
            await proxies[^1].KillAsync();
            Directory.Delete(state, recursive: true);
        }
    }

    private async Task<(ProxyProcess First, ProxyProcess Other)> StartBothAsync(bool upgrade)
    {
        nats = await NatsServer.StartAsync();
        postgres = await PostgresServer.StartAsync(ServerTree.Usual, null);
        var more = $"""
            [streams]
            journal = "jetstream"
            [nats]
            url = "{nats.Url}"
            [store]
            kind = "postgres"
            url = "{postgres.Url()}"
            """;
        for (var i = 0; i < 2; i++)
        {
            proxies.Add(await StartAsync(isPrevious: i == 0 == upgrade, more, state: null));
            await proxies[i].Log.EventAsync("nats_up");
            await proxies[i].Log.EventAsync("store_open");
        }

        await Patience.Until(async () => await Nats.NatsOutageTests.CountAsync(nats, "PROXY_JOURNAL") >= 0, "the journal's stream is there");
        return (proxies[0], proxies[1]);
    }

    private Task<ProxyProcess> StartAsync(bool isPrevious, string more, string? state) => ProxyProcess.StartAsync($"""
        {FrontDoor.Server()}
        [inference]
        bundled = false
        [log]
        format = "json"
        [[backends]]
        name = "a"
        url = "{host.Url}"
        dialects = ["openai"]
        models = ["served"]
        [[auth.keys]]
        name = "ann"
        sha256 = "{ApiKeyConfig.Digest("ann-secret")}"
        {more}
        """, state: state, binary: isPrevious ? Previous : null);

    /// <summary>Begins a resumable stream. Its client leaves after the second token.</summary>
    private async Task<(string Location, string Begun, ScriptedAnswer Answer)> BeginAsync(ProxyProcess proxy)
    {
        var answer = Expect();
        await using var client = await CallAsync(proxy, Body, "x-resume: 1");
        answer.Send(string.Concat(Answer[..3]));
        await client.ReadHeadAsync();
        await client.ReadUntilAsync("two");
        await client.ReadUntilAsync("\n\n");
        var begun = client.BodySoFar[..(client.BodySoFar.LastIndexOf("\n\n", StringComparison.Ordinal) + 2)];
        return (client.Headers.First(static header => header.Name == "Location").Value, begun, answer);
    }

    private ScriptedAnswer Expect()
    {
        var answer = new ScriptedAnswer();
        host.Once(exchange => answer.RunAsync(exchange, OpenAi.Sse));
        return answer;
    }

    private static async Task<RawClient> CallAsync(ProxyProcess proxy, string body, params string[] headers)
    {
        var client = await RawClient.ConnectAsync(proxy.Address);
        await client.RequestAsync("POST", StreamHouse.Chat, Encoding.UTF8.GetBytes(body), [Ann, .. headers]);
        return client;
    }

    private static Task<RawReply> PostAsync(ProxyProcess proxy, string body, params string[] headers) =>
        RawClient.SendAsync(proxy.Address, "POST", StreamHouse.Chat, Encoding.UTF8.GetBytes(body), [Ann, .. headers]);

    private static Task<RawReply> GetAsync(ProxyProcess proxy, string path) => RawClient.SendAsync(proxy.Address, "GET", path, null, Ann);
}
