using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>
/// A host that stops answering in the middle of a call, and comes back without the call. The proxy runs in this process and uses the test's clock: the probes
/// take a minute of real time.
/// </summary>
public sealed class FrozenHostTests
{
    [Theory]
    [InlineData("epoll")]
    [InlineData("sockets")]
    public async Task Host_froze_and_is_back_Its_old_call_is_ended_and_the_slot_serves_the_next(string transport)
    {
        await using var host = FakeBackend.Start();
        await using var proxy = (await PeerProxy.StartAsync(1))[0].Configure($"{FrontDoor.Server(transport: transport)}\n" + PeerProxy.Backend("a", host.Url, """
            models = ["m"]
            dialects = ["openai"]
            slots = 1
            first_token = "10m"
            idle = "10m"
            """));
        using var stop = new CancellationTokenSource();
        var probing = proxy.Parts.Probe.RunAsync(stop.Token);
        await Patience.For(proxy.Parts.Probe.FirstRound, "the first round of probes");
        var state = proxy.Parts.Directory.Table.All.Single(backend => backend.Name == "a").State;
        var arrival = host.NextCallAsync();
        host.Once(async exchange =>
        {
            await exchange.HeadAsync(OpenAi.Sse);
            await exchange.ChunkAsync(OpenAi.Role());
            await exchange.ChunkAsync(OpenAi.Token("half"));
            await exchange.StallAsync();
        });
        host.Answer(exchange => exchange.JsonAsync(OpenAi.Whole("again")));
        var old = proxy.PostAsync("/v1/chat/completions", OpenAi.Request("m", stream: true));
        await arrival;

        host.Frozen = true;
        var froze = proxy.Time.GetUtcNow();
        await PassUntilAsync(() => !state.Available);
        var down = proxy.Time.GetUtcNow();
        Assert.False(old.IsCompleted);
        host.Frozen = false;
        await PassUntilAsync(() => state.Available);

        Assert.True(down - froze >= TimeSpan.FromSeconds(25), "a busy host is given up after three probes of five seconds, ten seconds apart");
        var reply = await Patience.For(old, "the end of the old call");
        Assert.Equal("half", OpenAi.Read(reply));
        Assert.Equal("backend_error", OpenAi.ReadError(reply).GetProperty("type").GetString());
        Assert.Equal(200, (await proxy.PostAsync("/v1/chat/completions", OpenAi.Request("m", stream: false))).Status);
        var counted = (await proxy.GetAsync("/metrics")).Text.Split('\n').Where(line => line.StartsWith("proxy_requests_total{", StringComparison.Ordinal)).ToArray();
        Assert.Contains(counted, line => line.Contains("status=\"200\"", StringComparison.Ordinal) && line.Contains("outcome=\"backend_error\"", StringComparison.Ordinal) && line.EndsWith(" 1", StringComparison.Ordinal));
        await stop.CancelAsync();
        await probing;

        Task PassUntilAsync(Func<bool> condition) => Patience.Until(
            () =>
            {
                proxy.Time.Advance(TimeSpan.FromSeconds(1));
                return Task.FromResult(condition());
            },
            "the probes have noticed");
    }
}
