using System.Security.Cryptography;
using System.Text;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>Back-pressure: a slow client slows its host down, and the proxy neither buffers without limit nor loses data.</summary>
public sealed class SlowClientTests(SlowClientTests.Door door) : IClassFixture<SlowClientTests.Door>
{
    private const int MiB = 1024 * 1024;

    public sealed class Door : FrontDoor
    {
        protected override int Lanes => 4;

        protected override int OllamaLanes => 1;

        protected override string HostSettings => """
            first_token = "120s"
            idle = "1s"
            """;
    }

    [Theory]
    [Trait("Category", "Slow")]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Client_does_not_read_Host_is_held_back_and_nothing_is_lost(bool otherDialect)
    {
        const int Frames = 6144;
        var lane = otherDialect ? door.TakeOllama() : door.Take();
        var filler = new string('f', 16 * 1024);
        using var expected = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var finished = new TaskCompletionSource();
        lane.A.Answer(async exchange =>
        {
            await exchange.HeadAsync(otherDialect ? Ollama.Lines : OpenAi.Sse);
            for (var i = 0; i < Frames; i++)
            {
                expected.AppendData(Encoding.UTF8.GetBytes($"{i}{filler}"));
                await exchange.ChunkAsync(otherDialect ? Ollama.Token($"{i}{filler}") : OpenAi.Token($"{i}{filler}"));
            }

            await exchange.ChunkAsync(otherDialect ? Ollama.Last() : OpenAi.Stop() + OpenAi.Done);
            await exchange.EndAsync();
            finished.SetResult();
        });
        var correlation = FrontDoor.Correlation();
        var arrival = lane.A.NextCallAsync();
        await using var client = await RawClient.ConnectAsync(door.Address, receiveBuffer: 64 * 1024);
        await client.RequestAsync(
            "POST", "/v1/chat/completions", Encoding.UTF8.GetBytes(OpenAi.Request(lane.Solo, stream: true)), $"x-correlation-id: {correlation}");
        var host = await arrival;

        // The client does not read for twice the idle limit, and the host does not count as silent.
        var before = 0L;
        for (var still = 0; still < 20; still = host.Sent == before ? still + 1 : 0)
        {
            before = host.Sent;
            await Task.Delay(100, TestContext.Current.CancellationToken);
        }

        // 96 MiB are under way; only the kernel's socket buffers (up to 33 MiB per connection) and a few of the proxy's may be full.
        Assert.InRange(host.Sent, 64 * 1024, 48L * MiB);
        Assert.False(finished.Task.IsCompleted);

        var reply = await client.ReadReplyAsync();
        Assert.True(reply.Whole);
        Assert.Equal(Convert.ToHexString(expected.GetHashAndReset()), Convert.ToHexString(SHA256.HashData(Encoding.UTF8.GetBytes(OpenAi.Read(reply)))));
        Assert.Equal("ok none 200", (await door.Proxy.Log.CallAsync(correlation)).Verdict);
    }

    [Fact]
    public async Task Client_does_not_read_and_leaves_Host_is_cancelled()
    {
        var lane = door.Take();
        lane.A.Answer(PourAsync);
        var correlation = FrontDoor.Correlation();
        var arrival = lane.A.NextCallAsync();
        await using var client = await RawClient.ConnectAsync(door.Address, receiveBuffer: 64 * 1024);
        await client.RequestAsync(
            "POST", "/v1/chat/completions", Encoding.UTF8.GetBytes(OpenAi.Request(lane.Solo, stream: true)), $"x-correlation-id: {correlation}");
        var host = await arrival;
        await StandsStillAsync(host);

        client.Reset();

        await Patience.For(host.Gone, "the host's cancellation", TimeSpan.FromSeconds(3));
        var line = await door.Proxy.Log.CallAsync(correlation);
        Assert.True($"{line.Outcome} {line.Fault}" == "client_left client", door.Proxy.Log.Tail);
    }

    [Fact]
    [Trait("Category", "Slow")]
    public async Task Many_clients_do_not_read_Memory_stays_bounded()
    {
        await using var host = FakeBackend.Start();
        host.Answer(PourAsync);
        await using var proxy = await ProxyProcess.StartAsync($"""
            {FrontDoor.Server()}
            [log]
            format = "json"
            [[backends]]
            name = "host"
            url = "{host.Url}"
            dialects = ["openai"]
            models = ["m"]
            """);
        var sleepers = new List<(RawClient Client, FakeExchange Exchange)>();
        var before = 0L;
        for (var i = 0; i < 24; i++)
        {
            var arrival = host.NextCallAsync();
            var client = await RawClient.ConnectAsync(proxy.Address, receiveBuffer: 64 * 1024);
            await client.RequestAsync("POST", "/v1/chat/completions", Encoding.UTF8.GetBytes(OpenAi.Request("m", stream: true)));
            sleepers.Add((client, await arrival));
            await StandsStillAsync(sleepers[^1].Exchange);
            // The first few warm up the process.
            if (i == 3)
                before = proxy.ResidentBytes;
        }

        // Memory for twenty more sleeping clients: less than 2 MiB each, although the host would send without end.
        Assert.InRange(proxy.ResidentBytes - before, -100L * MiB, 40L * MiB);
        foreach (var (client, _) in sleepers)
            client.Reset();
    }

    [Fact]
    public async Task Other_clients_are_served_while_one_does_not_read()
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.Request.Text.Contains("\"quick\"", StringComparison.Ordinal)
            ? exchange.JsonAsync(OpenAi.Whole("quick")) : PourAsync(exchange));
        var sleepers = new List<RawClient>();
        for (var i = 0; i < 6; i++)
        {
            var arrival = lane.A.NextCallAsync();
            var sleeper = await RawClient.ConnectAsync(door.Address, receiveBuffer: 64 * 1024);
            sleepers.Add(sleeper);
            await sleeper.RequestAsync("POST", "/v1/chat/completions", Encoding.UTF8.GetBytes(OpenAi.Request(lane.Solo, stream: true)));
            await arrival;
        }

        for (var i = 0; i < 20; i++)
            Assert.Equal(200, (await door.PostAsync("/v1/chat/completions", OpenAi.Request(lane.Solo, text: "quick"))).Status);

        foreach (var sleeper in sleepers)
            sleeper.Reset();
    }

    /// <summary>Sends tokens without end, as fast as the other side accepts them.</summary>
    private static async Task PourAsync(FakeExchange exchange)
    {
        await exchange.HeadAsync(OpenAi.Sse);
        var frame = OpenAi.Token(new string('f', 16 * 1024));
        while (!exchange.Gone.IsCompleted)
            await exchange.ChunkAsync(frame);
    }

    /// <summary>Waits until a host can send no more.</summary>
    private static async Task StandsStillAsync(FakeExchange exchange)
    {
        var before = -1L;
        while (exchange.Sent != before)
        {
            before = exchange.Sent;
            await Task.Delay(100);
        }
    }
}
