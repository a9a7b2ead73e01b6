using System.Text;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>
/// The client leaves at every moment of a call, and its host is cancelled at once. All time limits are long, so that none of them ends the call.
/// </summary>
public sealed class LeavingClientTests(LeavingClientTests.Door door) : IClassFixture<LeavingClientTests.Door>
{
    /// <summary>The meaning of "at once" on a busy machine.</summary>
    private static readonly TimeSpan AtOnce = TimeSpan.FromSeconds(3);

    public sealed class Door : FrontDoor
    {
        protected override int Lanes => 20;

        protected override int OllamaLanes => 4;

        protected override string HostSettings => """
            slots = 1
            connect = "60s"
            first_token = "300s"
            idle = "300s"
            """;
    }

    [Theory]
    [InlineData("nothing", true)]
    [InlineData("nothing", false)]
    [InlineData("head", true)]
    [InlineData("role", true)]
    [InlineData("role", false)]
    public async Task Client_leaves_before_the_first_token_Host_is_cancelled(string before, bool reset)
    {
        var lane = door.Take();
        var sent = new TaskCompletionSource();
        lane.A.Answer(async exchange =>
        {
            if (before != "nothing")
                await exchange.HeadAsync(OpenAi.Sse);
            if (before == "role")
                await exchange.ChunkAsync(OpenAi.Role());
            sent.SetResult();
            await exchange.StallAsync();
        });
        var (client, correlation, exchange) = await CallAsync(lane, "/v1/chat/completions", OpenAi.Request(lane.Pair, stream: true));
        await Patience.For(sent.Task, "the host's first bytes");

        await LeaveAsync(client, reset, exchange, correlation);

        Assert.Empty(lane.B.Calls);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Client_leaves_midstream_Host_is_cancelled(bool reset)
    {
        var lane = door.Take();
        lane.A.Answer(async exchange =>
        {
            await exchange.HeadAsync(OpenAi.Sse);
            await exchange.ChunkAsync(OpenAi.Role() + OpenAi.Token("half"));
            await exchange.StallAsync();
        });
        var (client, correlation, exchange) = await CallAsync(lane, "/v1/chat/completions", OpenAi.Request(lane.Pair, stream: true));
        await client.ReadHeadAsync();
        await client.ReadUntilAsync("half");

        await LeaveAsync(client, reset, exchange, correlation);

        Assert.Empty(lane.B.Calls);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Client_leaves_while_tokens_flow_Host_is_cancelled(bool reset)
    {
        var lane = door.Take();
        lane.A.Answer(async exchange =>
        {
            await exchange.HeadAsync(OpenAi.Sse);
            await exchange.ChunkAsync(OpenAi.Role());
            while (!exchange.Gone.IsCompleted)
            {
                await exchange.ChunkAsync(OpenAi.Token("on and "));
                await Task.Delay(10);
            }
        });
        var (client, correlation, exchange) = await CallAsync(lane, "/v1/chat/completions", OpenAi.Request(lane.Solo, stream: true));
        await client.ReadHeadAsync();
        await client.ReadUntilAsync("on and ");

        await LeaveAsync(client, reset, exchange, correlation);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Client_leaves_a_whole_call_Host_is_cancelled(bool reset)
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.StallAsync());
        var (client, correlation, exchange) = await CallAsync(lane, "/v1/chat/completions", OpenAi.Request(lane.Pair));

        await LeaveAsync(client, reset, exchange, correlation);

        Assert.Empty(lane.B.Calls);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Client_leaves_in_the_middle_of_a_whole_answer_Host_is_cancelled(bool reset)
    {
        var lane = door.Take();
        var sent = new TaskCompletionSource();
        lane.A.Answer(async exchange =>
        {
            await exchange.SendAsync("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"id\":");
            sent.SetResult();
            await exchange.StallAsync();
        });
        var (client, correlation, exchange) = await CallAsync(lane, "/v1/chat/completions", OpenAi.Request(lane.Solo));
        await Patience.For(sent.Task, "the host's first bytes");

        await LeaveAsync(client, reset, exchange, correlation);
    }

    [Fact]
    public async Task OpenAI_client_of_an_Ollama_host_leaves_midstream_Host_is_cancelled()
    {
        var lane = door.TakeOllama();
        lane.A.Answer(async exchange =>
        {
            await exchange.HeadAsync(Ollama.Lines);
            await exchange.ChunkAsync(Ollama.Token("half"));
            await exchange.StallAsync();
        });
        var (client, correlation, exchange) = await CallAsync(lane, "/v1/chat/completions", OpenAi.Request(lane.Solo, stream: true));
        await client.ReadHeadAsync();
        await client.ReadUntilAsync("half");

        await LeaveAsync(client, reset: true, exchange, correlation);
    }

    [Fact]
    public async Task OpenAI_client_of_an_Ollama_host_leaves_a_whole_call_Host_is_cancelled()
    {
        var lane = door.TakeOllama();
        lane.A.Answer(exchange => exchange.StallAsync());
        var (client, correlation, exchange) = await CallAsync(lane, "/v1/chat/completions", OpenAi.Request(lane.Solo));

        await LeaveAsync(client, reset: false, exchange, correlation);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Client_leaves_while_queued_The_host_never_hears_of_it_and_the_slot_goes_to_the_next(bool reset)
    {
        var lane = door.Take();
        lane.A.Answer(async exchange =>
        {
            if (exchange.Request.Text.Contains("\"holds\"", StringComparison.Ordinal))
                await exchange.StallAsync();
            else
                await exchange.JsonAsync(OpenAi.Whole("next"));
        });
        var (holder, _, _) = await CallAsync(lane, "/v1/chat/completions", OpenAi.Request(lane.Solo, text: "holds"));
        var correlation = FrontDoor.Correlation();
        await using var queued = await RawClient.ConnectAsync(door.Address);
        await queued.RequestAsync(
            "POST", "/v1/chat/completions", Encoding.UTF8.GetBytes(OpenAi.Request(lane.Solo, text: "queued")), $"x-correlation-id: {correlation}");
        // A waiting client gets no sign that it waits, so the test only checks that no answer arrives for a while.
        await Task.Delay(200, TestContext.Current.CancellationToken);

        if (reset)
            queued.Reset();
        else
            queued.Leave();

        Assert.Equal("client_left client", await OutcomeAsync(correlation));
        await using (holder)
            holder.Leave();
        var (reply, _) = await lane.ChatAsync(lane.Solo, stream: false);
        Assert.Equal(200, reply.Status);
        Assert.DoesNotContain(lane.A.Calls, call => call.Text.Contains("\"queued\"", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Client_leaves_while_it_sends_its_body_The_host_never_hears_of_it()
    {
        var lane = door.Take();
        await using var client = await RawClient.ConnectAsync(door.Address);
        await client.RequestAsync("POST", "/v1/chat/completions", Encoding.UTF8.GetBytes(OpenAi.Request(lane.Solo)), "Content-Length: 100000");

        client.Reset();
        lane.A.Answer(exchange => exchange.JsonAsync(OpenAi.Whole("next")));
        var (reply, _) = await lane.ChatAsync(lane.Solo, stream: false);

        Assert.Equal(200, reply.Status);
        Assert.Single(lane.A.Calls);
    }

    [Fact]
    public async Task Clients_come_and_go_No_connection_and_no_slot_is_left_behind()
    {
        var lane = door.Take();
        lane.A.Answer(async exchange =>
        {
            await exchange.HeadAsync(OpenAi.Sse);
            await exchange.ChunkAsync(OpenAi.Role() + OpenAi.Token("half"));
            await exchange.StallAsync();
        });
        for (var i = 0; i < 20; i++)
        {
            var (client, correlation, exchange) = await CallAsync(lane, "/v1/chat/completions", OpenAi.Request(lane.Solo, stream: true));
            await LeaveAsync(client, reset: i % 2 == 0, exchange, correlation);
        }

        // The only slot must be free again, and no call may be waiting for it.
        lane.A.Answer(exchange => exchange.JsonAsync(OpenAi.Whole("free")));
        var (reply, line) = await lane.ChatAsync(lane.Solo, stream: false);

        Assert.Equal("ok none 200", line.Verdict);
        Assert.Contains("free", reply.Text, StringComparison.Ordinal);
        await Patience.Until(() => Task.FromResult(lane.A.OpenConnections <= 4), "no connection of the twenty is left");
    }

    private async Task<(RawClient Client, string Correlation, FakeExchange Exchange)> CallAsync(Lane lane, string path, string body)
    {
        var correlation = FrontDoor.Correlation();
        var arrival = lane.A.NextCallAsync();
        var client = await RawClient.ConnectAsync(door.Address);
        await client.RequestAsync("POST", path, Encoding.UTF8.GetBytes(body), $"x-correlation-id: {correlation}");
        return (client, correlation, await arrival);
    }

    private async Task LeaveAsync(RawClient client, bool reset, FakeExchange exchange, string correlation)
    {
        Assert.False(exchange.Gone.IsCompleted);

        await using (client)
        {
            if (reset)
                client.Reset();
            else
                client.Leave();
        }

        await Patience.For(exchange.Gone, "the host's cancellation", AtOnce);
        Assert.Equal("client_left client", await OutcomeAsync(correlation));
    }

    private async Task<string> OutcomeAsync(string correlation)
    {
        var line = await door.Proxy.Log.CallAsync(correlation);
        return $"{line.Outcome} {line.Fault}";
    }
}
