using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>A host that stops answering in the middle of a call, and comes back without the call.</summary>
public sealed class FrozenHostTests(FrozenHostTests.Door door) : IClassFixture<FrozenHostTests.Door>
{
    public sealed class Door : FrontDoor
    {
        protected override int Lanes => 1;

        protected override string HostSettings => """
            slots = 1
            first_token = "10m"
            idle = "10m"
            """;
    }

    [Fact]
    [Trait("Category", "Slow")]
    public async Task Host_froze_and_is_back_Its_old_call_is_ended_and_the_slot_serves_the_next()
    {
        var lane = door.Take();
        var arrival = lane.A.NextCallAsync();
        lane.A.Once(async exchange =>
        {
            await exchange.HeadAsync(OpenAi.Sse);
            await exchange.ChunkAsync(OpenAi.Role());
            await exchange.ChunkAsync(OpenAi.Token("half"));
            await exchange.StallAsync();
        });
        lane.A.Answer(exchange => exchange.JsonAsync(OpenAi.Whole("again")));
        var old = lane.ChatAsync(lane.Solo, stream: true);
        await arrival;

        lane.A.Frozen = true;
        await LoggedAsync("backend_down");
        Assert.False(old.IsCompleted);
        lane.A.Frozen = false;
        await LoggedAsync("backend_up");

        var (reply, line) = await Patience.For(old, "the end of the old call");
        Assert.Equal("half", OpenAi.Read(reply));
        Assert.Equal("backend_error", OpenAi.ReadError(reply).GetProperty("type").GetString());
        Assert.Equal("backend_error backend 200", line.Verdict);
        Assert.Equal(200, (await lane.ChatAsync(lane.Solo, stream: false)).Reply.Status);

        async Task LoggedAsync(string name)
        {
            // Three probes of five seconds, ten seconds apart, take longer than tests usually wait for a line.
            using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(90));
            using var pace = new PeriodicTimer(TimeSpan.FromMilliseconds(100));
            while (!door.Proxy.Log.Lines.Any(line => ProxyLog.Text(line, "event") == name
                && line.GetRawText().Contains($"\"{lane.NameA}\"", StringComparison.Ordinal)))
                await pace.WaitForNextTickAsync(patience.Token);
        }
    }
}
