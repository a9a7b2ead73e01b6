using System.Text;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>What a client sees, what the hosts see and what the log says when an OpenAI host breaks.</summary>
public sealed class HostFaultTests(HostFaultTests.Door door) : IClassFixture<HostFaultTests.Door>
{
    private static readonly string[] Good = OpenAi.Stream("from ", "B");

    public sealed class Door : FrontDoor
    {
        protected override int Lanes => 80;
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Host_refuses_Next_host_answers(bool stream)
    {
        var lane = door.Take();
        lane.A.Refuse();
        AnswersFromB(lane, stream);

        var (reply, line) = await lane.ChatAsync(lane.Pair, stream);

        AssertFromB(reply, line, lane, stream);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Only_host_refuses_Client_gets_502(bool stream)
    {
        var lane = door.Take();
        lane.A.Refuse();

        var (reply, line) = await lane.ChatAsync(lane.Solo, stream);

        AssertRefused(reply, line, 502, "backend_error", "backend_error backend 502");
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Host_resets_before_headers_Next_host_answers(bool stream)
    {
        var lane = door.Take();
        lane.A.Answer(Reset);
        AnswersFromB(lane, stream);

        var (reply, line) = await lane.ChatAsync(lane.Pair, stream);

        AssertFromB(reply, line, lane, stream);
        Assert.Single(lane.A.Calls);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Only_host_resets_before_headers_Client_gets_502(bool stream)
    {
        var lane = door.Take();
        lane.A.Answer(Reset);

        var (reply, line) = await lane.ChatAsync(lane.Solo, stream);

        AssertRefused(reply, line, 502, "backend_error", "backend_error backend 502");
        Assert.Single(lane.A.Calls);
    }

    [Fact]
    public async Task Host_resets_after_half_a_head_Client_gets_502()
    {
        var lane = door.Take();
        lane.A.Answer(async exchange =>
        {
            await exchange.SendAsync("HTTP/1.1 200 OK\r\nContent-Ty");
            exchange.Reset();
        });

        var (reply, line) = await lane.ChatAsync(lane.Solo, stream: true);

        AssertRefused(reply, line, 502, "backend_error", "backend_error backend 502");
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Host_says_500_Next_host_answers(bool stream)
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.JsonAsync(OpenAi.Error("the engine broke"), 500));
        AnswersFromB(lane, stream);

        var (reply, line) = await lane.ChatAsync(lane.Pair, stream);

        AssertFromB(reply, line, lane, stream);
    }

    [Fact]
    public async Task Every_host_says_500_Client_reads_the_hosts_message()
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.JsonAsync(OpenAi.Error("the engine broke"), 500));
        lane.B.Answer(exchange => exchange.JsonAsync(OpenAi.Error("the engine broke"), 500));

        var (reply, line) = await lane.ChatAsync(lane.Pair, stream: false);

        Assert.True(reply.Status is 500 or 502, reply.Text);
        Assert.Contains("the engine broke", reply.ErrorMessage, StringComparison.Ordinal);
        Assert.Equal("backend_error backend", $"{line.Outcome} {line.Fault}");
        Assert.Single(lane.A.Calls);
        Assert.Single(lane.B.Calls);
    }

    [Fact]
    public async Task Host_says_500_to_a_clients_mistake_Host_stays_in_use()
    {
        // llama.cpp answers 500 to a request without messages: that says nothing about the host.
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.Request.Text.Contains("\"bad\"", StringComparison.Ordinal)
            ? exchange.JsonAsync(OpenAi.Error("'messages' is required"), 500)
            : exchange.JsonAsync(OpenAi.Whole("fine")));
        for (var i = 0; i < 8; i++)
            await door.ChatAsync(lane.Solo, stream: false, more: ",\"bad\":true");

        var (reply, _) = await lane.ChatAsync(lane.Solo, stream: false);

        Assert.Equal(200, reply.Status);
    }

    [Fact]
    public async Task Error_inside_a_200_stream_before_content_Next_host_answers()
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.StreamAsync(OpenAi.Sse, OpenAi.ErrorFrame("out of memory")));
        AnswersFromB(lane, stream: true);

        var (reply, line) = await lane.ChatAsync(lane.Pair, stream: true);

        AssertFromB(reply, line, lane, stream: true);
    }

    [Fact]
    public async Task Error_inside_a_200_stream_after_the_role_Next_host_answers()
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.StreamAsync(OpenAi.Sse, OpenAi.Role(), OpenAi.ErrorFrame("out of memory")));
        AnswersFromB(lane, stream: true);

        var (reply, line) = await lane.ChatAsync(lane.Pair, stream: true);

        AssertFromB(reply, line, lane, stream: true);
    }

    [Fact]
    public async Task Only_host_errs_inside_a_200_stream_Client_gets_502_and_the_message()
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.StreamAsync(OpenAi.Sse, OpenAi.ErrorFrame("out of memory")));

        var (reply, line) = await lane.ChatAsync(lane.Solo, stream: true);

        AssertRefused(reply, line, 502, "backend_error", "backend_error backend 502");
        Assert.Contains("out of memory", reply.ErrorMessage, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Error_inside_a_whole_200_Next_host_answers()
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.JsonAsync(OpenAi.Error("out of memory")));
        AnswersFromB(lane, stream: false);

        var (reply, line) = await lane.ChatAsync(lane.Pair, stream: false);

        AssertFromB(reply, line, lane, stream: false);
    }

    [Fact]
    public async Task Only_host_errs_inside_a_whole_200_Client_gets_502_and_the_message()
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.JsonAsync(OpenAi.Error("out of memory")));

        var (reply, line) = await lane.ChatAsync(lane.Solo, stream: false);

        AssertRefused(reply, line, 502, "backend_error", "backend_error backend 502");
        Assert.Contains("out of memory", reply.ErrorMessage, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Error_inside_a_200_stream_after_content_Client_gets_it_as_the_last_frame()
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.StreamAsync(OpenAi.Sse, OpenAi.Role(), OpenAi.Token("half"), OpenAi.ErrorFrame("out of memory")));

        var (reply, line) = await lane.ChatAsync(lane.Pair, stream: true);

        AssertBrokenOff(reply, line, lane, "half", "backend_error backend 200");
        Assert.Contains("out of memory", OpenAi.ReadError(reply).GetProperty("message").GetString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Host_dies_midstream_Client_gets_an_error_frame()
    {
        var lane = door.Take();
        lane.A.Answer(async exchange =>
        {
            await exchange.HeadAsync(OpenAi.Sse);
            await exchange.ChunkAsync(OpenAi.Role() + OpenAi.Token("half"));
            // Lets the token arrive: a reset throws away what the other side has not read yet.
            await Task.Delay(100);
            exchange.Reset();
        });

        var (reply, line) = await lane.ChatAsync(lane.Pair, stream: true);

        AssertBrokenOff(reply, line, lane, "half", "backend_error backend 200");
    }

    [Fact]
    public async Task Host_dies_in_the_middle_of_a_frame_The_half_frame_is_not_glued_to_the_error()
    {
        var lane = door.Take();
        lane.A.Answer(async exchange =>
        {
            await exchange.HeadAsync(OpenAi.Sse);
            await exchange.ChunkAsync(OpenAi.Role() + OpenAi.Token("half") + "data: {\"id\":\"chatcmpl-1\",\"cho");
            await Task.Delay(100);
            exchange.Reset();
        });

        var (reply, line) = await lane.ChatAsync(lane.Pair, stream: true);

        Assert.True(reply.Whole, reply.Text);
        Assert.Contains("half", reply.Text, StringComparison.Ordinal);
        Assert.Equal("backend_error", OpenAi.ReadError(reply).GetProperty("type").GetString());
        Assert.Equal("backend_error backend 200", line.Verdict);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Stream_ends_in_silence_without_its_end_marker_Client_gets_an_error_frame(bool finWithoutLastChunk)
    {
        var lane = door.Take();
        lane.A.Answer(async exchange =>
        {
            await exchange.HeadAsync(OpenAi.Sse);
            await exchange.ChunkAsync(OpenAi.Role() + OpenAi.Token("half"));
            if (finWithoutLastChunk)
                exchange.Close();
            else
                await exchange.EndAsync();
        });

        var (reply, line) = await lane.ChatAsync(lane.Pair, stream: true);

        AssertBrokenOff(reply, line, lane, "half", "backend_error backend 200");
    }

    [Theory]
    [InlineData("")]
    [InlineData("role")]
    public async Task Stream_ends_in_silence_before_content_Next_host_answers(string before)
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.StreamAsync(OpenAi.Sse, before.Length == 0 ? ": hi\n\n" : OpenAi.Role()));
        AnswersFromB(lane, stream: true);

        var (reply, line) = await lane.ChatAsync(lane.Pair, stream: true);

        AssertFromB(reply, line, lane, stream: true);
    }

    [Fact]
    public async Task Whole_answer_breaks_off_Next_host_answers()
    {
        var lane = door.Take();
        lane.A.Answer(HalfABody);
        AnswersFromB(lane, stream: false);

        var (reply, line) = await lane.ChatAsync(lane.Pair, stream: false);

        AssertFromB(reply, line, lane, stream: false);
    }

    [Fact]
    public async Task Only_hosts_whole_answer_breaks_off_Client_gets_502()
    {
        var lane = door.Take();
        lane.A.Answer(HalfABody);

        var (reply, line) = await lane.ChatAsync(lane.Solo, stream: false);

        AssertRefused(reply, line, 502, "backend_error", "backend_error backend 502");
    }

    [Theory]
    [InlineData("not http at all\r\n\r\n")]
    [InlineData("HTTP/1.1 abc OK\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n")]
    [InlineData("\0\u0001\u0002\u0003\u0004\r\n\r\n")]
    public async Task Host_sends_garbage_Next_host_answers(string garbage)
    {
        var lane = door.Take();
        lane.A.Answer(async exchange =>
        {
            await exchange.SendAsync(garbage);
            exchange.Close();
        });
        AnswersFromB(lane, stream: true);

        var (reply, line) = await lane.ChatAsync(lane.Pair, stream: true);

        AssertFromB(reply, line, lane, stream: true);
    }

    [Fact]
    public async Task Host_sends_a_head_without_end_It_is_cut_off()
    {
        var lane = door.Take();
        lane.A.Answer(async exchange =>
        {
            await exchange.SendAsync("HTTP/1.1 200 OK\r\n");
            var line = Encoding.ASCII.GetBytes("x-filler: " + new string('a', 8000) + "\r\n");
            while (!exchange.Gone.IsCompleted)
                await exchange.SendAsync(line);
        });

        var (reply, line) = await lane.ChatAsync(lane.Solo, stream: true);

        AssertRefused(reply, line, 502, "backend_error", "backend_error backend 502");
    }

    [Fact]
    public async Task Host_answers_a_stream_with_a_web_page_Client_gets_502()
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.WholeAsync(200, "text/html", "<html><body>Sign in to continue</body></html>"));

        var (reply, line) = await lane.ChatAsync(lane.Solo, stream: true);

        AssertRefused(reply, line, 502, "backend_error", "backend_error backend 502");
    }

    [Fact]
    public async Task Host_answers_a_whole_call_with_a_web_page_Client_gets_502()
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.WholeAsync(200, "text/html", "<html><body>Sign in to continue</body></html>"));

        var (reply, line) = await lane.ChatAsync(lane.Solo, stream: false);

        AssertRefused(reply, line, 502, "backend_error", "backend_error backend 502");
    }

    [Fact]
    public async Task Garbled_chunk_midstream_Client_gets_an_error_frame()
    {
        var lane = door.Take();
        lane.A.Answer(async exchange =>
        {
            await exchange.HeadAsync(OpenAi.Sse);
            await exchange.ChunkAsync(OpenAi.Role() + OpenAi.Token("half"));
            await exchange.SendAsync("zz\r\nnonsense\r\n");
            await exchange.StallAsync();
        });

        var (reply, line) = await lane.ChatAsync(lane.Pair, stream: true);

        AssertBrokenOff(reply, line, lane, "half", "backend_error backend 200");
    }

    [Fact]
    public async Task Host_splits_characters_between_writes_Client_gets_the_same_bytes()
    {
        var lane = door.Take();
        var stream = Encoding.UTF8.GetBytes(string.Concat(OpenAi.Stream("é", "😀", "你好")));
        lane.A.Answer(async exchange =>
        {
            await exchange.HeadAsync(OpenAi.Sse);
            // A cut before every continuation byte of UTF-8.
            var from = 0;
            for (var i = 1; i <= stream.Length; i++)
            {
                if (i < stream.Length && (stream[i] & 0xC0) != 0x80)
                    continue;
                await exchange.ChunkAsync(stream.AsMemory(from, i - from));
                await Task.Delay(2);
                from = i;
            }

            await exchange.EndAsync();
        });

        var (reply, line) = await lane.ChatAsync(lane.Solo, stream: true);

        Assert.True(reply.Whole);
        Assert.Equal("é😀你好", OpenAi.Read(reply));
        Assert.Equal("ok none 200", line.Verdict);
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
    public async Task Host_answers_until_it_closes_Client_gets_the_whole_stream()
    {
        var lane = door.Take();
        lane.A.Answer(async exchange =>
        {
            await exchange.SendAsync("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n" + string.Concat(OpenAi.Stream("to ", "the end")));
            exchange.Close();
        });

        var (reply, line) = await lane.ChatAsync(lane.Solo, stream: true);

        Assert.True(reply.Whole);
        Assert.Equal("to the end", OpenAi.Read(reply));
        Assert.Equal("ok none 200", line.Verdict);
    }

    [Theory]
    [InlineData(400, "context_length_exceeded", "this model's limit is 4096 tokens")]
    [InlineData(404, "model_not_found", "no such adapter")]
    [InlineData(422, "unprocessable", "temperature must be below 2")]
    public async Task Host_refuses_the_request_Client_reads_its_status_code_and_message(int status, string code, string message)
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.JsonAsync(OpenAi.Error(message, "invalid_request_error", $"\"{code}\""), status));

        var (reply, line) = await lane.ChatAsync(lane.Pair, stream: true);

        Assert.Equal(status, reply.Status);
        Assert.Equal(message, reply.ErrorMessage);
        Assert.Equal(code, reply.ErrorCode);
        Assert.Equal("client", line.Fault);
        Assert.Empty(lane.B.Calls);
    }

    [Theory]
    [InlineData(401)]
    [InlineData(403)]
    public async Task Host_rejects_our_credentials_Client_gets_502_and_the_log_blames_us(int status)
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.JsonAsync(OpenAi.Error("wrong key sk-secret"), status));

        var (reply, line) = await lane.ChatAsync(lane.Solo, stream: false);

        Assert.Equal(502, reply.Status);
        Assert.Equal("backend_error", reply.ErrorType);
        Assert.Equal("proxy", line.Fault);
    }

    [Theory]
    [InlineData(429)]
    [InlineData(503)]
    public async Task Host_is_overloaded_Next_host_answers(int status)
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.JsonAsync(OpenAi.Error("slow down"), status, "Retry-After: 7"));
        AnswersFromB(lane, stream: true);

        var (reply, line) = await lane.ChatAsync(lane.Pair, stream: true);

        AssertFromB(reply, line, lane, stream: true);
    }

    [Theory]
    [InlineData(429)]
    [InlineData(503)]
    public async Task Every_host_is_overloaded_Client_reads_the_status_and_when_to_come_again(int status)
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.JsonAsync(OpenAi.Error("slow down"), status, "Retry-After: 7"));
        lane.B.Answer(exchange => exchange.JsonAsync(OpenAi.Error("slow down"), status, "Retry-After: 7"));

        var (reply, line) = await lane.ChatAsync(lane.Pair, stream: false);

        Assert.Equal(status, reply.Status);
        Assert.Equal("7", reply.Header("retry-after"));
        Assert.Contains("slow down", reply.ErrorMessage, StringComparison.Ordinal);
        Assert.Equal("backend", line.Fault);
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

        // On loops a host's connection lives with the client that it serves: one a loop.
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
        await lane.ChatAsync(lane.Solo, stream: false);

        var (reply, line) = await lane.ChatAsync(lane.Solo, stream: false);

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
        await lane.ChatAsync(lane.Solo, stream: false);
        lane.A.DropConnections();

        var (reply, line) = await lane.ChatAsync(lane.Solo, stream: false);

        Assert.Equal(200, reply.Status);
        Assert.Equal("ok none 200", line.Verdict);
    }

    [Fact]
    public async Task Each_call_writes_exactly_one_line()
    {
        var lane = door.Take();
        lane.A.Answer(Reset);
        AnswersFromB(lane, stream: false);
        var correlation = FrontDoor.Correlation();

        await door.PostAsync("/v1/chat/completions", OpenAi.Request(lane.Pair), $"x-correlation-id: {correlation}");
        await door.Proxy.Log.CallAsync(correlation);
        // Whatever the first call might still write comes before the line of this one.
        await lane.ChatAsync(lane.Pair, stream: false);

        Assert.Equal(1, door.Proxy.Log.CallsOf(correlation));
        Assert.Empty(door.Proxy.Log.Strays);
    }

    private static Task Reset(FakeExchange exchange)
    {
        exchange.Reset();
        return Task.CompletedTask;
    }

    private static async Task HalfABody(FakeExchange exchange)
    {
        var body = OpenAi.Whole("never arrives in full");
        await exchange.SendAsync($"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {body.Length}\r\n\r\n{body[..(body.Length / 2)]}");
        exchange.Close();
    }

    private static void AnswersFromB(Lane lane, bool stream) =>
        lane.B.Answer(exchange => stream ? exchange.StreamAsync(OpenAi.Sse, Good) : exchange.JsonAsync(OpenAi.Whole("from B")));

    private static void AssertFromB(RawReply reply, CallLine line, Lane lane, bool stream)
    {
        Assert.True(reply.Status == 200 && reply.Whole, $"{reply.Status} {reply.Text}");
        if (stream)
        {
            Assert.Equal("from B", OpenAi.Read(reply));
            Assert.Equal("[DONE]", reply.Events[^1]);
            Assert.DoesNotContain("error", reply.Text, StringComparison.Ordinal);
        }
        else
        {
            Assert.Equal("from B", reply.Json.GetProperty("choices")[0].GetProperty("message").GetProperty("content").GetString());
        }

        Assert.Equal("ok none 200", line.Verdict);
        Assert.Equal(lane.NameB, line.Backend);
        Assert.Single(lane.B.Calls);
    }

    private static void AssertRefused(RawReply reply, CallLine line, int status, string type, string verdict)
    {
        Assert.True(reply.Whole);
        Assert.True(status == reply.Status, $"{reply.Status} {reply.Text}");
        Assert.Equal(type, reply.ErrorType);
        Assert.Equal(status, reply.Json.GetProperty("error").GetProperty("status").GetInt32());
        Assert.Equal(verdict, line.Verdict);
    }

    /// <summary>The text so far, then one error frame, then a clean end; and no second host was asked.</summary>
    private static void AssertBrokenOff(RawReply reply, CallLine line, Lane lane, string text, string verdict)
    {
        Assert.Equal(200, reply.Status);
        Assert.True(reply.Whole, reply.Text);
        Assert.Single(reply.Events, data => data.Contains("\"error\"", StringComparison.Ordinal));
        Assert.NotEmpty(OpenAi.ReadError(reply).GetProperty("message").GetString()!);
        Assert.Equal(text, OpenAi.Read(reply));
        Assert.Equal(verdict, line.Verdict);
        Assert.Empty(lane.B.Calls);
    }
}
