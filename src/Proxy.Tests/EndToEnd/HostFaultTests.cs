using System.Text;
using Proxy.Tests.Harness;
using static Proxy.Tests.Harness.HostFaults;

namespace Proxy.Tests.EndToEnd;

/// <summary>An OpenAI host that fails before its first content: what the client gets, what the hosts get, and what is logged.</summary>
public sealed class HostFaultTests(HostFaultTests.Door door) : IClassFixture<HostFaultTests.Door>
{
    public sealed class Door : FrontDoor
    {
        protected override int Lanes => 28;
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
    public async Task Each_call_writes_exactly_one_line()
    {
        var lane = door.Take();
        lane.A.Answer(Reset);
        AnswersFromB(lane, stream: false);
        var correlation = FrontDoor.Correlation();

        await door.PostAsync("/v1/chat/completions", OpenAi.Request(lane.Pair), $"x-correlation-id: {correlation}");
        await door.Proxy.Log.CallAsync(correlation);
        // A second line of the first call would be written before the line of this one.
        await lane.ChatAsync(lane.Pair, stream: false);

        Assert.Equal(1, door.Proxy.Log.CallsOf(correlation));
        Assert.Empty(door.Proxy.Log.Strays);
    }
}
