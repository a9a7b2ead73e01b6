using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>A host that keeps failing gets no calls for a while, which the metrics show, and gets calls again when it has recovered.</summary>
public sealed class BreakerTests(BreakerTests.Door door) : IClassFixture<BreakerTests.Door>
{
    public sealed class Door : FrontDoor
    {
        protected override int Lanes => 6;

        internal FakeBackend Silent { get; private set; } = null!;

        protected override string Sections()
        {
            Silent = Host();
            Silent.SilentPage = "/v1/models";
            return $"""
                [[backends]]
                name = "silent"
                url = "{Silent.Url}"
                dialects = ["openai"]
                models = ["of-the-silent"]
                """;
        }
    }

    [Fact]
    public async Task Host_fails_again_and_again_It_is_left_alone_and_the_metrics_show_it_and_it_comes_back()
    {
        var lane = door.Take();
        lane.A.Answer(exchange =>
        {
            exchange.Reset();
            return Task.CompletedTask;
        });
        lane.B.Answer(exchange => exchange.JsonAsync(OpenAi.Whole("from B")));

        for (var i = 0; i < 20; i++)
            Assert.Equal(200, (await lane.ChatAsync(lane.Pair, stream: false)).Reply.Status);
        var asked = lane.A.Calls.Count;
        var open = await BreakerAsync(lane.NameA);

        // Only some of the twenty calls tried the broken host first.
        Assert.InRange(asked, 1, 10);
        Assert.Equal("1", open);
        Assert.Equal("0", await BreakerAsync(lane.NameB));
        await door.Proxy.Log.LineAsync(
            line => ProxyLog.Text(line, "level") is "warn" or "warning" && line.GetRawText().Contains($"\"{lane.NameA}\"", StringComparison.Ordinal),
            "the host's going down");

        lane.A.Answer(exchange => exchange.JsonAsync(OpenAi.Whole("from A")));
        var since = TimeProvider.System.GetTimestamp();
        await Patience.Until(async () => (await lane.ChatAsync(lane.Solo, stream: false)).Reply.Status == 200, "the host is used again");

        Assert.InRange(TimeProvider.System.GetElapsedTime(since), TimeSpan.Zero, TimeSpan.FromSeconds(10));
        Assert.Equal("0", await BreakerAsync(lane.NameA));
    }

    [Fact]
    public async Task Both_hosts_refuse_the_request_No_breaker_opens()
    {
        // If every host gives the same answer to a call, the call is wrong and not the hosts.
        var lane = door.Take();
        foreach (var host in new[] { lane.A, lane.B })
        {
            host.Answer(exchange => exchange.Request.Text.Contains("\"bad\"", StringComparison.Ordinal)
                ? exchange.JsonAsync(OpenAi.Error("bad call"), 500)
                : exchange.JsonAsync(OpenAi.Whole("fine")));
        }

        for (var i = 0; i < 10; i++)
            Assert.NotEqual(200, (await door.ChatAsync(lane.Pair, stream: false, ",\"bad\":1")).Reply.Status);

        Assert.Equal("0 0", $"{await BreakerAsync(lane.NameA)} {await BreakerAsync(lane.NameB)}");
        Assert.Equal(200, (await lane.ChatAsync(lane.Pair, stream: false)).Reply.Status);
    }

    [Fact]
    public async Task Clients_leave_again_and_again_No_breaker_opens()
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.StallAsync());
        for (var i = 0; i < 10; i++)
        {
            var arrival = lane.A.NextCallAsync();
            var client = await RawClient.ConnectAsync(door.Address);
            await client.RequestAsync("POST", "/v1/chat/completions", System.Text.Encoding.UTF8.GetBytes(OpenAi.Request(lane.Solo, stream: true)));
            var exchange = await arrival;
            await client.DisposeAsync();
            await Patience.For(exchange.Gone, "the host's cancellation");
        }

        Assert.Equal("0", await BreakerAsync(lane.NameA));
    }

    [Fact]
    public async Task One_host_does_not_answer_when_asked_for_its_models_The_list_comes_without_waiting_for_it()
    {
        var since = TimeProvider.System.GetTimestamp();

        var reply = await door.GetAsync("/v1/models");

        Assert.Equal(200, reply.Status);
        Assert.InRange(TimeProvider.System.GetElapsedTime(since), TimeSpan.Zero, TimeSpan.FromSeconds(3));
        Assert.Contains("of-the-silent", reply.Text, StringComparison.Ordinal);
    }

    private async Task<string> BreakerAsync(string backend) =>
        (await door.GetAsync("/metrics")).Text.Split('\n').Single(line => line.StartsWith("proxy_backend_breaker_open{", StringComparison.Ordinal)
            && line.Contains($"\"{backend}\"", StringComparison.Ordinal)).Split(' ')[^1];
}
