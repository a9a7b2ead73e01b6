using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>Hosts that fall silent: the limits <c>first_token</c> and <c>idle</c>.</summary>
public sealed class SilentHostTests(SilentHostTests.Door door) : IClassFixture<SilentHostTests.Door>
{
    public sealed class Door : FrontDoor
    {
        protected override int Lanes => 12;

        protected override int OllamaLanes => 2;

        protected override string FirstHostSettings => """
            connect = "60s"
            first_token = "1s"
            idle = "1s"
            """;
    }

    [Theory]
    [InlineData("nothing")]
    [InlineData("head")]
    [InlineData("role")]
    [InlineData("comment")]
    public async Task Host_stalls_before_the_first_token_Next_host_answers(string before)
    {
        var lane = door.Take();
        var arrival = lane.A.NextCallAsync();
        lane.A.Answer(exchange => StallAfterAsync(exchange, before));
        lane.B.Answer(exchange => exchange.StreamAsync(OpenAi.Sse, OpenAi.Stream("from ", "B")));

        var (reply, line) = await lane.ChatAsync(lane.Pair, stream: true);

        Assert.Equal("from B", OpenAi.Read(reply));
        Assert.Equal("ok none 200", line.Verdict);
        Assert.Equal(lane.NameB, line.Backend);
        await Patience.For((await arrival).Gone, "the silent host's connection to be closed");
    }

    [Theory]
    [InlineData("nothing")]
    [InlineData("role")]
    public async Task Only_host_stalls_before_the_first_token_Client_gets_504(string before)
    {
        var lane = door.Take();
        var arrival = lane.A.NextCallAsync();
        lane.A.Answer(exchange => StallAfterAsync(exchange, before));

        var (reply, line) = await lane.ChatAsync(lane.Solo, stream: true);

        Assert.True(reply.Status == 504, $"{reply.Status} {reply.Text}");
        Assert.Equal("backend_error", reply.ErrorType);
        Assert.Equal("timeout backend 504", line.Verdict);
        await Patience.For((await arrival).Gone, "the silent host's connection to be closed");
    }

    [Theory]
    [InlineData(": processing\n\n")]
    [InlineData("role")]
    public async Task Host_says_only_that_it_is_alive_Next_host_answers(string sign)
    {
        var lane = door.Take();
        lane.A.Answer(async exchange =>
        {
            await exchange.HeadAsync(OpenAi.Sse);
            while (!exchange.Gone.IsCompleted)
            {
                await exchange.ChunkAsync(sign == "role" ? OpenAi.Role() : sign);
                await Task.Delay(100);
            }
        });
        lane.B.Answer(exchange => exchange.StreamAsync(OpenAi.Sse, OpenAi.Stream("from ", "B")));

        var (reply, line) = await lane.ChatAsync(lane.Pair, stream: true);

        Assert.Equal("from B", OpenAi.Read(reply));
        Assert.Equal("ok none 200", line.Verdict);
    }

    [Fact]
    public async Task Host_stalls_midstream_Client_gets_an_error_frame()
    {
        var lane = door.Take();
        var arrival = lane.A.NextCallAsync();
        lane.A.Answer(exchange => StallAfterAsync(exchange, "token"));

        var (reply, line) = await lane.ChatAsync(lane.Pair, stream: true);

        Assert.True(reply.Whole);
        Assert.Equal("half", OpenAi.Read(reply));
        Assert.Equal("backend_error", OpenAi.ReadError(reply).GetProperty("type").GetString());
        Assert.Equal("timeout backend 200", line.Verdict);
        Assert.Empty(lane.B.Calls);
        await Patience.For((await arrival).Gone, "the silent host's connection to be closed");
    }

    [Fact]
    public async Task Ollama_host_stalls_midstream_Client_gets_an_error_line()
    {
        var lane = door.TakeOllama();
        lane.A.Answer(async exchange =>
        {
            await exchange.HeadAsync(Ollama.Lines);
            await exchange.ChunkAsync(Ollama.Token("half"));
            await exchange.StallAsync();
        });

        var (reply, line) = await lane.OllamaChatAsync(lane.Pair, stream: true);

        Assert.True(reply.Whole);
        Assert.Equal("half", Ollama.Read(reply));
        Assert.NotEmpty(Ollama.ReadError(reply));
        Assert.Equal("timeout backend 200", line.Verdict);
    }

    [Fact]
    public async Task Only_Ollama_host_stalls_before_the_first_token_Client_gets_504()
    {
        var lane = door.TakeOllama();
        lane.A.Answer(exchange => exchange.StallAsync());

        var (reply, line) = await lane.OllamaChatAsync(lane.Solo, stream: true);

        Assert.Equal(504, reply.Status);
        Assert.NotEmpty(reply.Json.GetProperty("error").GetString()!);
        Assert.Equal("timeout backend 504", line.Verdict);
    }

    [Fact]
    public async Task Whole_answer_takes_longer_than_both_clocks_It_is_waited_for()
    {
        // Without streaming only `total` applies, because the host computes silently.
        var lane = door.Take();
        lane.A.Answer(async exchange =>
        {
            await Task.Delay(1300); // longer than both limits
            await exchange.JsonAsync(OpenAi.Whole("slow"));
        });

        var (reply, line) = await lane.ChatAsync(lane.Solo, stream: false);

        Assert.Equal(200, reply.Status);
        Assert.Equal("ok none 200", line.Verdict);
    }

    [Fact]
    public async Task Tokens_come_slowly_but_within_the_idle_clock_The_stream_is_whole()
    {
        var lane = door.Take();
        lane.A.Answer(async exchange =>
        {
            await exchange.HeadAsync(OpenAi.Sse);
            foreach (var frame in OpenAi.Stream([.. "abcdefghijkl".Select(letter => $"{letter}")]))
            {
                await exchange.ChunkAsync(frame);
                await Task.Delay(100); // in all longer than both clocks
            }

            await exchange.EndAsync();
        });

        var (reply, line) = await lane.ChatAsync(lane.Solo, stream: true);

        Assert.Equal("abcdefghijkl", OpenAi.Read(reply));
        Assert.Equal("ok none 200", line.Verdict);
    }

    private static async Task StallAfterAsync(FakeExchange exchange, string before)
    {
        if (before != "nothing")
            await exchange.HeadAsync(OpenAi.Sse);
        if (before is "comment")
            await exchange.ChunkAsync(": processing\n\n");
        if (before is "role" or "token")
            await exchange.ChunkAsync(OpenAi.Role());
        if (before == "token")
            await exchange.ChunkAsync(OpenAi.Token("half"));
        await exchange.StallAsync();
    }
}
