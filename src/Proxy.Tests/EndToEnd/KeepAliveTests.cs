using System.Text;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>During a long prefill the client gets keep-alives, between frames and never inside one.</summary>
public sealed class KeepAliveTests(KeepAliveTests.Door door) : IClassFixture<KeepAliveTests.Door>
{
    public sealed class Door : FrontDoor
    {
        protected override int Lanes => 9;

        protected override int OllamaLanes => 3;

        protected override string ServerSettings => "keepalive_after = \"100ms\"";

        /// <summary>Hosts that are soon given up on: <c>pair-</c> has another one after the first, <c>solo-</c> has none.</summary>
        internal FakeBackend SilentOfPair => field ??= Host();

        internal FakeBackend SilentAlone => field ??= Host();

        internal FakeBackend Next => field ??= Host();

        protected override string Sections() => $"""
            [[backends]]
            name = "silent"
            url = "{SilentOfPair.Url}"
            dialects = ["openai"]
            prefixes = ["pair-"]
            weight = 1000
            first_token = "400ms"
            [[backends]]
            name = "next"
            url = "{Next.Url}"
            dialects = ["openai"]
            prefixes = ["pair-"]
            [[backends]]
            name = "alone"
            url = "{SilentAlone.Url}"
            dialects = ["openai"]
            prefixes = ["solo-"]
            first_token = "400ms"
            """;
    }

    /// <summary>Longer than the proxy waits before a keep-alive, its clock's tick included.</summary>
    private static Task Pause() => Task.Delay(250);

    [Theory]
    [InlineData("nothing")]
    [InlineData("head")]
    [InlineData("role")]
    public async Task Prefill_takes_long_Client_gets_comments_and_then_the_stream(string before)
    {
        var lane = door.Take();
        var go = new TaskCompletionSource();
        var stream = OpenAi.Stream("at ", "last");
        lane.A.Answer(async exchange =>
        {
            if (before != "nothing")
                await exchange.HeadAsync(OpenAi.Sse);
            if (before == "role")
                await exchange.ChunkAsync(stream[0]);
            await go.Task;
            if (before == "nothing")
                await exchange.HeadAsync(OpenAi.Sse);
            foreach (var frame in stream.Skip(before == "role" ? 1 : 0))
                await exchange.ChunkAsync(frame);
            await exchange.EndAsync();
        });
        var (client, correlation) = await CallAsync("/v1/chat/completions", OpenAi.Request(lane.Solo, stream: true));
        await using var _ = client;

        await client.ReadHeadAsync();
        await client.ReadUntilAsync("\n\n");
        var early = client.BodySoFar;
        go.SetResult();
        var reply = await client.ReadRestAsync();

        Assert.Equal(200, reply.Status);
        Assert.StartsWith(OpenAi.Sse, reply.ContentType, StringComparison.Ordinal);
        Assert.StartsWith(":", early, StringComparison.Ordinal);
        Assert.Equal("at last", OpenAi.Read(reply));
        Assert.Equal(string.Concat(stream), WithoutComments(reply.Text));
        Assert.Equal("ok none 200", (await door.Proxy.Log.CallAsync(correlation)).Verdict);
    }

    [Fact]
    public async Task Prefill_takes_long_Client_of_Anthropic_gets_pings_and_then_its_stream()
    {
        var lane = door.Take();
        var go = new TaskCompletionSource();
        lane.A.Answer(async exchange =>
        {
            await go.Task;
            await exchange.StreamAsync(OpenAi.Sse, OpenAi.Stream("at ", "last"));
        });
        var (client, _) = await CallAsync("/v1/messages", Anthropic.Request(lane.Solo, stream: true));
        await using var held = client;

        await client.ReadHeadAsync();
        await client.ReadUntilAsync("event: ping\ndata: {\"type\": \"ping\"}\n\n");
        go.SetResult();
        var reply = await client.ReadRestAsync();

        Assert.Equal("at last", Anthropic.Read(reply));
        Assert.Equal("message_start", Anthropic.Events(reply)[0].GetProperty("type").GetString());
    }

    /// <summary>Three calls at once, since each has to wait until a comment would have been due.</summary>
    [Fact]
    public Task Comment_has_no_place_in_a_frame_a_whole_answer_or_between_lines_of_Ollama_None_is_sent() =>
        Task.WhenAll(PauseInsideAFrameAsync(), WholeCallTakesLongAsync(), OllamaPrefillTakesLongAsync());

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Host_pauses_between_tokens_Client_gets_comments_between_the_frames(bool otherDialect)
    {
        var lane = otherDialect ? door.TakeOllama() : door.Take();
        var stream = otherDialect ? Ollama.Stream("a", "b") : OpenAi.Stream("a", "b");
        var go = new TaskCompletionSource();
        lane.A.Answer(async exchange =>
        {
            await exchange.HeadAsync(otherDialect ? Ollama.Lines : OpenAi.Sse);
            foreach (var frame in stream)
            {
                await exchange.ChunkAsync(frame);
                if (frame.Contains("\"a\"", StringComparison.Ordinal))
                    await go.Task;
            }

            await exchange.EndAsync();
        });

        var (reply, verdict) = await CommentedAsync(lane.Solo, go, "\n\n:");

        var events = reply.Text.Split("\n\n", StringSplitOptions.RemoveEmptyEntries);
        var first = Array.FindIndex(events, text => text.Contains("\"a\"", StringComparison.Ordinal));
        Assert.StartsWith(":", events[first + 1], StringComparison.Ordinal);
        Assert.Equal("ab", OpenAi.Read(reply));
        if (!otherDialect)
            Assert.Equal(string.Concat(stream), WithoutComments(reply.Text));
        Assert.Equal("ok none 200", verdict.Verdict);
    }

    [Fact]
    public async Task First_host_stays_silent_after_comments_went_out_Next_host_answers()
    {
        var stream = OpenAi.Stream("from ", "B");
        door.SilentOfPair.Answer(exchange => exchange.StallAsync());
        door.Next.Answer(exchange => exchange.StreamAsync(OpenAi.Sse, stream));

        var (reply, line) = await door.ChatAsync("pair-m", stream: true);

        Assert.StartsWith(":", reply.Text, StringComparison.Ordinal);
        Assert.Equal(string.Concat(stream), WithoutComments(reply.Text));
        Assert.Equal("ok none 200", line.Verdict);
        Assert.Equal("next", line.Backend);
    }

    [Fact]
    public async Task Every_host_stays_silent_after_comments_went_out_Client_gets_an_error_frame()
    {
        door.SilentAlone.Answer(exchange => exchange.StallAsync());

        var (reply, line) = await door.ChatAsync("solo-m", stream: true);

        Assert.Equal(200, reply.Status);
        Assert.True(reply.Whole);
        Assert.StartsWith(":", reply.Text, StringComparison.Ordinal);
        Assert.Equal("backend_error", OpenAi.ReadError(reply).GetProperty("type").GetString());
        Assert.Equal("timeout backend", $"{line.Outcome} {line.Fault}");
    }

    [Fact]
    public async Task Host_refuses_late_Client_gets_its_message_in_an_error_frame()
    {
        var lane = door.Take();
        var go = new TaskCompletionSource();
        lane.A.Answer(async exchange =>
        {
            await go.Task;
            await exchange.JsonAsync(OpenAi.Error("this model's limit is 4096 tokens", "invalid_request_error", "\"context_length_exceeded\""), 400);
        });

        var (reply, line) = await CommentedAsync(lane.Solo, go);

        Assert.Equal(200, reply.Status);
        Assert.StartsWith(":", reply.Text, StringComparison.Ordinal);
        Assert.Equal("this model's limit is 4096 tokens", OpenAi.ReadError(reply).GetProperty("message").GetString());
        Assert.Equal("client", line.Fault);
    }

    [Fact]
    public async Task OpenAI_client_waits_for_an_Ollama_host_It_gets_comments_too()
    {
        var lane = door.TakeOllama();
        var go = new TaskCompletionSource();
        lane.A.Answer(async exchange =>
        {
            await go.Task;
            await exchange.StreamAsync(Ollama.Lines, Ollama.Stream("at ", "last"));
        });

        var (reply, line) = await CommentedAsync(lane.Solo, go);

        Assert.StartsWith(":", reply.Text, StringComparison.Ordinal);
        Assert.Equal("at last", OpenAi.Read(reply));
        Assert.Equal("ok none 200", line.Verdict);
    }

    [Fact]
    public async Task Client_leaves_between_comments_Host_is_cancelled()
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.StallAsync());
        var arrival = lane.A.NextCallAsync();
        var (client, correlation) = await CallAsync("/v1/chat/completions", OpenAi.Request(lane.Solo, stream: true));
        await client.ReadHeadAsync();
        await client.ReadUntilAsync("\n\n");

        await client.DisposeAsync();

        await Patience.For((await arrival).Gone, "the host's cancellation");
        var line = await door.Proxy.Log.CallAsync(correlation);
        Assert.Equal("client_left client", $"{line.Outcome} {line.Fault}");
    }

    private async Task PauseInsideAFrameAsync()
    {
        var lane = door.Take();
        var stream = string.Concat(OpenAi.Stream("a", "b"));
        var cut = stream.IndexOf("\"b\"", StringComparison.Ordinal);
        lane.A.Answer(async exchange =>
        {
            await exchange.HeadAsync(OpenAi.Sse);
            await exchange.ChunkAsync(stream[..cut]);
            await Pause();
            await exchange.ChunkAsync(stream[cut..]);
            await exchange.EndAsync();
        });

        var (reply, line) = await lane.ChatAsync(lane.Solo, stream: true);

        Assert.Equal(stream, WithoutComments(reply.Text));
        Assert.Equal("ok none 200", line.Verdict);
    }

    private async Task WholeCallTakesLongAsync()
    {
        var lane = door.Take();
        lane.A.Answer(async exchange =>
        {
            await Pause();
            await exchange.JsonAsync(OpenAi.Whole("slow"));
        });

        var (reply, _) = await lane.ChatAsync(lane.Solo, stream: false);

        Assert.Equal(OpenAi.Whole("slow"), reply.Text);
    }

    private async Task OllamaPrefillTakesLongAsync()
    {
        var lane = door.TakeOllama();
        var stream = Ollama.Stream("at ", "last");
        lane.A.Answer(async exchange =>
        {
            await Pause();
            await exchange.StreamAsync(Ollama.Lines, stream);
        });

        var (reply, line) = await lane.OllamaChatAsync(lane.Solo, stream: true);

        Assert.Equal("at last", Ollama.Read(reply));
        Assert.Equal(stream.Length, reply.Text.Split('\n').Length - 1);
        Assert.Equal("ok none 200", line.Verdict);
    }

    /// <summary>A streamed chat whose host goes on once the client has a comment.</summary>
    private async Task<(RawReply Reply, CallLine Line)> CommentedAsync(string model, TaskCompletionSource go, string comment = ":")
    {
        var (client, correlation) = await CallAsync("/v1/chat/completions", OpenAi.Request(model, stream: true));
        await using var held = client;
        await client.ReadHeadAsync();
        await client.ReadUntilAsync(comment);
        go.SetResult();
        return (await client.ReadRestAsync(), await door.Proxy.Log.CallAsync(correlation));
    }

    private async Task<(RawClient Client, string Correlation)> CallAsync(string path, string body)
    {
        var correlation = FrontDoor.Correlation();
        var client = await RawClient.ConnectAsync(door.Address);
        await client.RequestAsync("POST", path, Encoding.UTF8.GetBytes(body), $"x-correlation-id: {correlation}");
        return (client, correlation);
    }

    /// <summary>The stream without the proxy's comments; a comment ends with an empty line, so it is an event of its own.</summary>
    private static string WithoutComments(string text) =>
        string.Concat(text.Split("\n\n", StringSplitOptions.RemoveEmptyEntries).Where(part => !part.StartsWith(':')).Select(part => part + "\n\n"));
}
