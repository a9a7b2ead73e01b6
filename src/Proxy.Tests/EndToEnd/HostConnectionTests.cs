using System.Text;
using Proxy.Tests.Harness;
using static Proxy.Tests.Harness.HostFaults;

namespace Proxy.Tests.EndToEnd;

/// <summary>Connections to an OpenAI host: reused, replaced when they are closed, retried after a failure.</summary>
public sealed class HostConnectionTests(HostConnectionTests.Door door) : IClassFixture<HostConnectionTests.Door>
{
    public sealed class Door : FrontDoor
    {
        protected override int Lanes => 6;
    }

    [Fact]
    public async Task Host_sends_interim_answers_first_They_are_skipped()
    {
        var lane = door.Take();
        lane.A.Answer(async exchange =>
        {
            await exchange.SendAsync("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n");
            await exchange.JsonAsync(OpenAi.Whole("fine"));
        });

        var (reply, line) = await lane.ChatAsync(lane.Solo, stream: false);

        Assert.Equal(200, reply.Status);
        Assert.Contains("fine", reply.Text, StringComparison.Ordinal);
        Assert.Equal("ok none 200", line.Verdict);
    }

    [Fact]
    public async Task Host_is_back_after_a_failure_It_is_used_again_within_seconds()
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.JsonAsync(OpenAi.Whole("back")));
        lane.A.Refuse();
        for (var i = 0; i < 10; i++)
            Assert.True((await lane.ChatAsync(lane.Solo, stream: false)).Reply.Status is 502 or 503);

        lane.A.Listen();
        var since = TimeProvider.System.GetTimestamp();
        await Patience.Until(async () => (await lane.ChatAsync(lane.Solo, stream: false)).Reply.Status == 200, "the host is used again");

        Assert.InRange(TimeProvider.System.GetElapsedTime(since), TimeSpan.Zero, TimeSpan.FromSeconds(10));
    }

    [Fact]
    public async Task Calls_follow_each_other_The_connection_to_the_host_is_used_again()
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.StreamAsync(OpenAi.Sse, Good));
        var before = lane.A.Connections;

        for (var i = 0; i < 3; i++)
            Assert.Equal(200, (await lane.ChatAsync(lane.Solo, stream: true)).Reply.Status);

        Assert.Equal(3, lane.A.Calls.Count);

        // With event loops, a host's connection belongs to the loop of the client that it serves: one per loop.
        var loops = Environment.GetEnvironmentVariable("PROXY_TEST_TRANSPORT") == "sockets" ? 1 : Environment.ProcessorCount;
        Assert.InRange(lane.A.Calls.Select(call => call.Connection).Distinct().Count(), 1, loops);
        Assert.True(lane.A.Connections - before <= loops + 1, $"{lane.A.Connections - before} connections for three calls");
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Reused_connection_dies_before_an_answer_The_call_is_sent_once_more(bool reset)
    {
        var lane = door.Take();
        lane.A.Once(exchange => exchange.JsonAsync(OpenAi.Whole("first")));
        lane.A.Once(exchange =>
        {
            if (reset)
                exchange.Reset();
            else
                exchange.Close();
            return Task.CompletedTask;
        });
        lane.A.Once(exchange => exchange.JsonAsync(OpenAi.Whole("second")));
        await using var client = await RawClient.ConnectAsync(door.Address);
        await ChatAsync(client, lane);

        var (reply, line) = await ChatAsync(client, lane);

        Assert.Equal(200, reply.Status);
        Assert.Contains("second", reply.Text, StringComparison.Ordinal);
        Assert.Equal("ok none 200", line.Verdict);
        Assert.Equal(3, lane.A.Calls.Count);
        Assert.Equal(lane.A.Calls[0].Connection, lane.A.Calls[1].Connection);
        Assert.NotEqual(lane.A.Calls[1].Connection, lane.A.Calls[2].Connection);
    }

    [Fact]
    public async Task Host_closes_an_idle_connection_The_next_call_does_not_notice()
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.JsonAsync(OpenAi.Whole("fine")));
        await using var client = await RawClient.ConnectAsync(door.Address);
        await ChatAsync(client, lane);
        lane.A.DropConnections();

        var (reply, line) = await ChatAsync(client, lane);

        Assert.Equal(200, reply.Status);
        Assert.Equal("ok none 200", line.Verdict);
    }

    /// <summary>
    /// A call on a client's kept connection: with event loops, the host's connection belongs to the same loop, and another client may be on another loop.
    /// </summary>
    private async Task<(RawReply Reply, CallLine Line)> ChatAsync(RawClient client, Lane lane)
    {
        var correlation = FrontDoor.Correlation();
        await client.RequestAsync("POST", "/v1/chat/completions", Encoding.UTF8.GetBytes(OpenAi.Request(lane.Solo)), $"x-correlation-id: {correlation}");
        return (await client.ReadReplyAsync(), await door.Proxy.Log.CallAsync(correlation));
    }
}
