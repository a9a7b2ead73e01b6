using System.Net;
using System.Net.Sockets;
using System.Text;
using Proxy.Buffers;
using Proxy.Transport;

namespace Proxy.Tests.Transport;

public sealed class SocketUpstreamTests() : UpstreamTests(onLoops: false);

public sealed class LoopUpstreamTests() : UpstreamTests(onLoops: true);

/// <summary>What holds for a client of http:// hosts, however it gets its bytes.</summary>
public abstract class UpstreamTests(bool onLoops)
{
    private const string Hello = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

    [Fact]
    public async Task Post_Arrives_whole_and_answer_is_read()
    {
        using var harness = Harness(headers: [new("Authorization", "Bearer ours")]);
        using var exchange = harness.Client.Open();
        var sending = exchange.SendAsync(UpstreamHarness.Post("{\"a\":1}") with { Headers = [new("traceparent", "00-1"), new("Host", "evil"), new("x-bad", "a\r\nb: c")] });
        using var peer = await harness.Host.AcceptAsync();

        var request = await peer.ReadRequestAsync();
        await peer.SendAsync("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Request-Id: r1\r\nServer: x\r\nRetry-After: 7\r\nX-RateLimit-Limit-Tokens: 9\r\nopenai-organization: caf\xe9\r\nContent-Length: 5\r\n\r\nhello");
        var head = await sending;
        var (text, last) = await exchange.ReadAllAsync();

        Assert.Equal($"POST /v1/x HTTP/1.1\r\nHost: 127.0.0.1:{harness.Host.Port}\r\nAccept-Encoding: identity\r\nAuthorization: Bearer ours\r\nContent-Type: application/json\r\ntraceparent: 00-1\r\nContent-Length: 7\r\n\r\n{{\"a\":1}}", request);
        Assert.Equal((UpstreamOutcome.Answered, 200, "application/json", 5L), (head.Outcome, head.Status, head.ContentType, head.ContentLength));
        Assert.Equal([new("x-request-id", "r1"), new("retry-after", "7"), new("x-ratelimit-limit-tokens", "9")], head.Headers);
        Assert.Equal(("hello", ReplyReadKind.End), (text, last));
    }

    [Fact]
    public async Task Get_Has_no_length_and_its_path_cannot_end_the_line()
    {
        using var harness = Harness();
        using var exchange = harness.Client.Open();
        var sending = exchange.SendAsync(UpstreamHarness.Get("/a b\r\nX: é?q=1"));
        using var peer = await harness.Host.AcceptAsync();

        var request = await peer.ReadRequestAsync();
        await peer.SendAsync(Hello);
        await sending;

        Assert.Equal($"GET /a%20b%0D%0AX:%20%C3%A9?q=1 HTTP/1.1\r\nHost: 127.0.0.1:{harness.Host.Port}\r\nAccept-Encoding: identity\r\n\r\n", request);
    }

    [Theory]
    [InlineData(Hello)]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;ext=\"a\"\r\nllo\r\n0\r\nX-Trailer: a\r\nB: c\r\n\r\n")]
    [InlineData("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nX-Folded: a\r\n b\r\nContent-Length:\r\n 5\r\n\r\nhello")]
    [InlineData("HTTP/1.1 200 OK\nContent-Length: 5\n\nhello")]
    public async Task Answer_cut_at_any_byte_Reads_the_same_on_one_connection(string answer)
    {
        using var harness = Harness();
        Peer? peer = null;
        for (var cut = 1; cut < answer.Length; cut++)
        {
            using var exchange = harness.Client.Open();
            var sending = exchange.SendAsync(UpstreamHarness.Post());
            peer ??= await harness.Host.AcceptAsync();
            await peer.ReadRequestAsync();

            await peer.SendAsync(answer[..cut]);
            var reading = ReadAsync(exchange, sending);
            await peer.SendAsync(answer[cut..]);

            Assert.Equal((200, "hello", ReplyReadKind.End), await reading);
        }

        Assert.False(harness.Host.HasPending);
        peer!.Dispose();
    }

    [Fact]
    public async Task Answer_without_length_Ends_where_the_host_closes_and_connection_is_not_reused()
    {
        using var harness = Harness();
        const string answer = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello";
        for (var cut = 1; cut < answer.Length; cut += 5)
        {
            using var exchange = harness.Client.Open();
            var sending = exchange.SendAsync(UpstreamHarness.Post());
            using var peer = await harness.Host.AcceptAsync();
            await peer.ReadRequestAsync();

            await peer.SendAsync(answer[..cut]);
            var reading = ReadAsync(exchange, sending);
            await peer.SendAsync(answer[cut..]);
            peer.Dispose();

            Assert.Equal((200, "hello", ReplyReadKind.End), await reading);
        }
    }

    [Theory]
    [InlineData("HTTP/1.1 204 No Content\r\n\r\n")]
    [InlineData("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")]
    public async Task Answer_without_body_Ends_at_once(string answer)
    {
        using var harness = Harness();
        using var exchange = harness.Client.Open();
        var sending = exchange.SendAsync(UpstreamHarness.Post());
        using var peer = await harness.Host.AcceptAsync();
        await peer.ReadRequestAsync();
        await peer.SendAsync(answer);
        await sending;

        var read = await exchange.ReadAsync();

        Assert.Equal(ReplyReadKind.End, read.Kind);
    }

    [Fact]
    public async Task Answer_to_HEAD_Has_no_body()
    {
        using var harness = Harness();
        using var exchange = harness.Client.Open();
        var sending = exchange.SendAsync(new("HEAD", "/", default));
        using var peer = await harness.Host.AcceptAsync();
        await peer.ReadRequestAsync();
        await peer.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
        var head = await sending;

        var read = await exchange.ReadAsync();

        Assert.Equal((5L, ReplyReadKind.End), (head.ContentLength, read.Kind));
    }

    [Theory]
    [InlineData("SSH-2.0-OpenSSH_9.6\r\n")]
    [InlineData("\x15\x03\x01")]
    [InlineData("HTTP/2.0 200 OK\r\n\r\n")]
    [InlineData("HTTP/1.1 20x OK\r\n\r\n")]
    [InlineData("HTTP/1.1 099 OK\r\n\r\n")]
    [InlineData("HTTP/1.1 2000 OK\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nno colon\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nName : x\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\n: x\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\n folded: x\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n")]
    [InlineData("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n")]
    public async Task Answer_that_is_not_HTTP_Is_said_to_be_so_and_connection_is_closed(string answer)
    {
        using var harness = Harness();
        using var exchange = harness.Client.Open();
        var sending = exchange.SendAsync(UpstreamHarness.Post());
        using var peer = await harness.Host.AcceptAsync();
        await peer.ReadRequestAsync();
        await peer.SendAsync(answer);

        var head = await sending;

        Assert.Equal(UpstreamOutcome.NotHttp, head.Outcome);
        Assert.NotNull(head.Failure);
        await peer.WaitForGoneAsync();
    }

    [Fact]
    public async Task Head_of_60_KB_Is_read_and_one_of_64_KB_is_not()
    {
        using var harness = Harness();
        foreach (var (size, outcome) in new[] { (60_000, UpstreamOutcome.Answered), (70_000, UpstreamOutcome.NotHttp) })
        {
            using var exchange = harness.Client.Open();
            var sending = exchange.SendAsync(UpstreamHarness.Post());
            using var peer = await harness.Host.AcceptAsync();
            await peer.ReadRequestAsync();
            await peer.SendAsync($"HTTP/1.1 200 OK\r\nX-Padding: {new string('x', size)}\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello");

            var head = await sending;

            Assert.Equal(outcome, head.Outcome);
            if (outcome == UpstreamOutcome.Answered) Assert.Equal(("hello", ReplyReadKind.End), await exchange.ReadAllAsync());
        }
    }

    [Theory]
    [InlineData("x\r\nhello\r\n0\r\n\r\n")]
    [InlineData("\r\nhello\r\n0\r\n\r\n")]
    [InlineData("5hello\r\n0\r\n\r\n")]
    [InlineData("5\rhello\r\n0\r\n\r\n")]
    [InlineData("-5\r\nhello\r\n0\r\n\r\n")]
    [InlineData("5\r\nhelloo\r\n0\r\n\r\n")]
    [InlineData("5\r\nhello\r0\r\n\r\n")]
    [InlineData("10000000000000000\r\nhello")]
    [InlineData("5\r\nhello\r\n0\r\n\rx")]
    public async Task Malformed_chunk_Is_a_failure(string body)
    {
        using var harness = Harness();
        using var exchange = harness.Client.Open();
        var sending = exchange.SendAsync(UpstreamHarness.Post());
        using var peer = await harness.Host.AcceptAsync();
        await peer.ReadRequestAsync();
        await peer.SendAsync("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body);
        await sending;

        var (text, last) = await exchange.ReadAllAsync();
        exchange.Dispose();

        Assert.Equal(ReplyReadKind.Failed, last);
        Assert.StartsWith(text, "hello", StringComparison.Ordinal);
        Assert.NotNull(exchange.Failure);
        await peer.WaitForGoneAsync();
    }

    [Theory]
    [InlineData("Content-Length: 9\r\n\r\nhello", false)]
    [InlineData("Transfer-Encoding: chunked\r\n\r\n9\r\nhello", false)]
    [InlineData("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", false)]
    [InlineData("Content-Length: 9\r\n\r\nhello", true)]
    public async Task Host_that_breaks_off_Is_a_failure_after_what_came(string rest, bool reset)
    {
        using var harness = Harness();
        using var exchange = harness.Client.Open();
        var sending = exchange.SendAsync(UpstreamHarness.Post());
        using var peer = await harness.Host.AcceptAsync();
        await peer.ReadRequestAsync();
        await peer.SendAsync("HTTP/1.1 200 OK\r\n" + rest);
        await sending;
        var text = "";
        while (text.Length < 5) text += Encoding.Latin1.GetString((await exchange.ReadAsync()).Bytes.Span);
        if (reset) peer.Reset();
        else peer.Dispose();

        var read = await exchange.ReadAsync();

        Assert.Equal(("hello", ReplyReadKind.Failed), (text, read.Kind));
        Assert.Contains("host", exchange.Failure, StringComparison.Ordinal);
        Assert.Equal(ReplyReadKind.Failed, (await exchange.ReadAsync()).Kind);
    }

    [Fact]
    public async Task Length_and_chunks_Chunks_win_and_connection_is_not_reused()
    {
        using var harness = Harness();
        using var exchange = harness.Client.Open();
        var sending = exchange.SendAsync(UpstreamHarness.Post());
        using var peer = await harness.Host.AcceptAsync();
        await peer.ReadRequestAsync();
        await peer.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");

        var head = await sending;
        var answer = await exchange.ReadAllAsync();
        exchange.Dispose();

        Assert.Equal(("hello", ReplyReadKind.End), answer);
        Assert.Null(head.ContentLength);
        await peer.WaitForGoneAsync();
    }

    [Fact]
    public async Task Several_chunks_in_one_segment_Are_one_read()
    {
        using var harness = Harness();
        using var exchange = harness.Client.Open();
        var sending = exchange.SendAsync(UpstreamHarness.Post());
        using var peer = await harness.Host.AcceptAsync();
        await peer.ReadRequestAsync();
        await peer.SendAsync("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        await sending;
        await peer.SendAsync("2\r\nhe\r\n2\r\nll\r\n1\r\no\r\n0\r\n\r\n");

        var read = await exchange.ReadAsync();
        var text = Encoding.Latin1.GetString(read.Bytes.Span);
        var next = await exchange.ReadAsync();

        Assert.Equal(("hello", ReplyReadKind.End), (text, next.Kind));
    }

    [Fact]
    public async Task Large_bodies_Cross_both_ways()
    {
        using var harness = Harness();
        using var exchange = harness.Client.Open();
        var body = new byte[8 << 20];
        new Random(1).NextBytes(body);
        var third = body.Length / 3;
        var sending = exchange.SendAsync(UpstreamHarness.Post() with { Body = new(body.AsMemory(0, third), body.AsMemory(third, third), body.AsMemory(2 * third)) });
        using var peer = await harness.Host.AcceptAsync();

        var echoing = peer.EchoAsync(body.Length);
        await sending;
        using var got = new PooledBody();
        ReplyRead read;
        while ((read = await exchange.ReadAsync()).Kind == ReplyReadKind.Data) got.Write(read.Bytes.Span);
        await echoing;

        Assert.Equal(ReplyReadKind.End, read.Kind);
        Assert.True(got.Span.SequenceEqual(body));
    }

    [Fact]
    public async Task Host_refuses_a_large_body_before_it_has_read_it_Its_answer_is_read()
    {
        using var harness = Harness();
        using var exchange = harness.Client.Open();
        var sending = exchange.SendAsync(UpstreamHarness.Post() with { Body = new(new byte[64 << 20]) });
        using var peer = await harness.Host.AcceptAsync();
        await peer.SendAsync("HTTP/1.1 413 Content Too Large\r\nContent-Length: 5\r\n\r\nlarge");

        var head = await sending;
        var answer = await exchange.ReadAllAsync();
        exchange.Dispose();

        Assert.Equal((413, ("large", ReplyReadKind.End)), (head.Status, answer));
        await peer.WaitForGoneAsync();
    }

    [Fact]
    public async Task Host_begins_to_answer_before_it_has_read_the_body_Both_go_on()
    {
        using var harness = Harness();
        using var exchange = harness.Client.Open();
        var sending = exchange.SendAsync(UpstreamHarness.Post() with { Body = new(new byte[16 << 20]) }).AsTask();
        using var peer = await harness.Host.AcceptAsync();
        await peer.SendAsync("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");

        await peer.ReadBodyAsync(16 << 20);
        await peer.SendAsync("0\r\n\r\n");
        var head = await sending;

        Assert.Equal(200, head.Status);
        Assert.Equal(("hello", ReplyReadKind.End), await exchange.ReadAllAsync());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Host_begins_to_answer_and_reads_no_more_Wait_can_be_ended(bool byDeadline)
    {
        using var harness = Harness();
        using var exchange = harness.Client.Open();
        exchange.Deadline = harness.Ticker.Now + 5000;
        var sending = exchange.SendAsync(UpstreamHarness.Post() with { Body = new(new byte[64 << 20]) }).AsTask();
        using var peer = await harness.Host.AcceptAsync();
        await peer.SendAsync("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");

        if (byDeadline) harness.Time.Advance(TimeSpan.FromSeconds(5.2));
        else exchange.Cancel();
        var head = await sending;

        Assert.Equal(byDeadline ? UpstreamOutcome.TimedOut : UpstreamOutcome.Cancelled, head.Outcome);
        await peer.WaitForGoneAsync();
    }

    [Fact]
    public async Task Port_where_nobody_listens_Is_a_failed_connection()
    {
        using var harness = Harness();
        harness.Host.Dispose();
        using var exchange = harness.Client.Open();

        var head = await exchange.SendAsync(UpstreamHarness.Post());

        Assert.Equal(UpstreamOutcome.ConnectFailed, head.Outcome);
        Assert.Contains("refused", head.Failure, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Name_that_does_not_exist_Is_a_failed_connection()
    {
        using var harness = Harness(new("http://no-such-host.invalid:1"));
        using var exchange = harness.Client.Open();

        var head = await exchange.SendAsync(UpstreamHarness.Post());

        Assert.Equal(UpstreamOutcome.ConnectFailed, head.Outcome);
    }

    [Fact]
    public async Task Host_with_a_name_Is_resolved()
    {
        using var host = new FakeHost();
        using var harness = Harness(new($"http://localhost:{host.Port}")); // ::1 refuses where it is known
        using var exchange = harness.Client.Open();
        var sending = exchange.SendAsync(UpstreamHarness.Post());
        using var peer = await host.AcceptAsync();
        var request = await peer.ReadRequestAsync();
        await peer.SendAsync(Hello);

        var head = await sending;

        Assert.Equal(200, head.Status);
        Assert.Contains($"Host: localhost:{host.Port}\r\n", request, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Host_that_takes_no_connection_Times_out_after_connect()
    {
        using var full = new FullListener();
        using var harness = Harness(full.Address);
        using var exchange = harness.Client.Open();
        var sending = exchange.SendAsync(UpstreamHarness.Post()).AsTask();
        await harness.SettleAsync();

        harness.Time.Advance(TimeSpan.FromSeconds(4.9));
        Assert.False(sending.IsCompleted);
        harness.Time.Advance(TimeSpan.FromSeconds(0.2));
        var head = await sending;

        Assert.Equal(UpstreamOutcome.ConnectTimedOut, head.Outcome);
    }

    [Fact]
    public async Task Deadline_before_connect_is_over_Is_a_time_out()
    {
        using var full = new FullListener();
        using var harness = Harness(full.Address);
        using var exchange = harness.Client.Open();
        exchange.Deadline = harness.Ticker.Now + 1000;
        var sending = exchange.SendAsync(UpstreamHarness.Post());

        harness.Time.Advance(TimeSpan.FromSeconds(1.2));
        var head = await sending;

        Assert.Equal(UpstreamOutcome.TimedOut, head.Outcome);
    }

    [Fact]
    public async Task Cancelled_while_connecting_Returns_at_once()
    {
        using var full = new FullListener();
        using var harness = Harness(full.Address);
        using var exchange = harness.Client.Open();
        var sending = exchange.SendAsync(UpstreamHarness.Post());

        exchange.Cancel();
        var head = await sending;

        Assert.Equal(UpstreamOutcome.Cancelled, head.Outcome);
    }

    [Fact]
    public async Task Idle_connection_that_the_host_closed_Is_not_used()
    {
        using var harness = Harness();
        using (var first = await harness.AnswerOnceAsync(Hello)) first.SayGoodbye();

        using var second = await harness.AnswerOnceAsync(Hello);

        Assert.False(harness.Host.HasPending);
    }

    [Fact]
    public async Task Idle_connection_that_the_host_closed_Is_closed_by_us_too()
    {
        using var harness = Harness();
        using var peer = await harness.AnswerOnceAsync(Hello);

        peer.Socket.Shutdown(SocketShutdown.Send);
        await harness.SettleAsync();
        harness.Time.Advance(TimeSpan.FromSeconds(1.1));

        await peer.WaitForGoneAsync();
    }

    [Fact]
    public async Task Host_says_more_than_its_answer_Connection_is_not_used_again()
    {
        using var harness = Harness();
        using var peer = await harness.AnswerOnceAsync(Hello + "HTTP/1.1 200 OK\r\n\r\n");

        await peer.WaitForGoneAsync();
    }

    [Fact]
    public async Task One_of_two_idle_connections_was_closed_The_other_serves()
    {
        using var harness = Harness();
        using var old = harness.Client.Open();
        var sending = old.SendAsync(UpstreamHarness.Post());
        using var last = await harness.Host.AcceptAsync();
        using var other = await harness.AnswerOnceAsync(Hello); // is idle first ...
        await last.ReadRequestAsync();
        await last.SendAsync(Hello);
        await sending;
        await old.ReadAllAsync();
        old.Dispose();
        await harness.SettleAsync();
        await harness.AnswerAsync(last, Hello);
        last.SayGoodbye(); // ... and the one that was used last goes
        await harness.SettleAsync();

        await harness.AnswerAsync(other, Hello);

        Assert.False(harness.Host.HasPending);
    }

    [Fact]
    public async Task Reused_connection_dies_before_a_byte_Request_is_repeated_once_on_a_fresh_one()
    {
        using var harness = Harness();
        using var first = await harness.AnswerOnceAsync(Hello);
        using var exchange = harness.Client.Open();
        var sending = exchange.SendAsync(UpstreamHarness.Post("{\"n\":2}"));
        await first.ReadRequestAsync();

        first.Reset();
        using var second = await harness.Host.AcceptAsync();
        var request = await second.ReadRequestAsync();
        await second.SendAsync(Hello);
        var head = await sending;

        Assert.EndsWith("{\"n\":2}", request, StringComparison.Ordinal);
        Assert.Equal(200, head.Status);
        Assert.Equal(("hello", ReplyReadKind.End), await exchange.ReadAllAsync());
    }

    [Fact]
    public async Task Second_connection_dies_too_Is_broken()
    {
        using var harness = Harness();
        using var first = await harness.AnswerOnceAsync(Hello);
        using var exchange = harness.Client.Open();
        var sending = exchange.SendAsync(UpstreamHarness.Post());
        await first.ReadRequestAsync();

        first.Reset();
        using var second = await harness.Host.AcceptAsync();
        await second.ReadRequestAsync();
        second.Reset();
        var head = await sending;

        Assert.Equal(UpstreamOutcome.Broken, head.Outcome);
        Assert.False(harness.Host.HasPending);
    }

    [Fact]
    public async Task Reused_connection_dies_after_a_byte_Is_broken_and_not_repeated()
    {
        using var harness = Harness();
        using var first = await harness.AnswerOnceAsync(Hello);
        using var exchange = harness.Client.Open();
        var sending = exchange.SendAsync(UpstreamHarness.Post());
        await first.ReadRequestAsync();

        await first.SendAsync("H");
        first.Dispose();
        var head = await sending;

        Assert.Equal(UpstreamOutcome.Broken, head.Outcome);
        Assert.False(harness.Host.HasPending);
    }

    [Theory]
    [InlineData("", 59, true)]
    [InlineData("", 60, false)]
    [InlineData("Keep-Alive: timeout=5\r\n", 3, true)]
    [InlineData("Keep-Alive: max=100, timeout=5\r\n", 4, false)]
    [InlineData("Keep-Alive: timeout=1\r\n", 0, false)]
    [InlineData("Connection: Keep-Alive, Close\r\n", 0, false)]
    public async Task Idle_connection_Is_dropped_a_second_before_the_host_would(string header, int seconds, bool isReused)
    {
        using var harness = Harness();
        using var first = await harness.AnswerOnceAsync($"HTTP/1.1 200 OK\r\n{header}Content-Length: 5\r\n\r\nhello");

        for (var second = 0; second < seconds; second++) harness.Time.Advance(TimeSpan.FromSeconds(1));
        if (isReused)
        {
            await harness.AnswerAsync(first, Hello);
        }
        else
        {
            await first.WaitForGoneAsync();
            using var next = await harness.AnswerOnceAsync(Hello);
        }

        Assert.False(harness.Host.HasPending);
    }

    [Fact]
    public async Task Old_host_Is_asked_on_a_connection_each_unless_it_offers_to_keep_it()
    {
        using var harness = Harness();
        using var first = await harness.AnswerOnceAsync("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        await first.WaitForGoneAsync();
        using var odd = await harness.AnswerOnceAsync("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"); // which it does not know
        await odd.WaitForGoneAsync();
        using var second = await harness.AnswerOnceAsync("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello");

        await harness.AnswerAsync(second, Hello);

        Assert.False(harness.Host.HasPending);
    }

    [Fact]
    public async Task Client_is_disposed_Idle_connections_are_closed()
    {
        using var harness = Harness();
        using var peer = await harness.AnswerOnceAsync(Hello);

        harness.Client.Dispose();

        await peer.WaitForGoneAsync();
    }

    [Fact]
    public async Task Cancelled_before_it_is_sent_Nothing_is_sent()
    {
        using var harness = Harness();
        using var exchange = harness.Client.Open();
        exchange.Cancel();

        var head = await exchange.SendAsync(UpstreamHarness.Post());

        Assert.Equal(UpstreamOutcome.Cancelled, head.Outcome);
        Assert.False(harness.Host.HasPending);
    }

    [Fact]
    public async Task Cancelled_while_it_uploads_Host_sees_it_at_once()
    {
        using var harness = Harness();
        using var exchange = harness.Client.Open();
        var sending = exchange.SendAsync(UpstreamHarness.Post() with { Body = new(new byte[64 << 20]) });
        using var peer = await harness.Host.AcceptAsync();

        exchange.Cancel();
        await peer.WaitForGoneAsync();
        var head = await sending;

        Assert.Equal(UpstreamOutcome.Cancelled, head.Outcome);
    }

    [Fact]
    public async Task Cancelled_before_the_head_Host_sees_it_at_once()
    {
        using var harness = Harness();
        using var exchange = harness.Client.Open();
        var sending = exchange.SendAsync(UpstreamHarness.Post());
        using var peer = await harness.Host.AcceptAsync();
        await peer.ReadRequestAsync();

        exchange.Cancel();
        await peer.WaitForGoneAsync();
        var head = await sending;

        Assert.Equal(UpstreamOutcome.Cancelled, head.Outcome);
    }

    [Fact]
    public async Task Cancelled_while_a_read_waits_Read_and_host_see_it_at_once()
    {
        using var harness = Harness();
        var (exchange, peer) = await harness.StreamAsync();
        var reading = exchange.ReadAsync();

        exchange.Cancel();
        exchange.Cancel();
        await peer.WaitForGoneAsync();

        Assert.Equal(ReplyReadKind.Cancelled, (await reading).Kind);
        Assert.Equal(ReplyReadKind.Cancelled, (await exchange.ReadAsync()).Kind);
        exchange.Dispose();
        peer.Dispose();
    }

    [Fact]
    public async Task Cancelled_between_two_reads_Host_sees_it_and_bytes_in_hand_stay_whole()
    {
        using var harness = Harness();
        var (exchange, peer) = await harness.StreamAsync();
        await peer.SendAsync("5\r\nhello\r\n");
        var read = await exchange.ReadAsync();

        exchange.Cancel();
        var text = Encoding.Latin1.GetString(read.Bytes.Span);
        await peer.WaitForGoneAsync();

        Assert.Equal("hello", text);
        Assert.Equal(ReplyReadKind.Cancelled, (await exchange.ReadAsync()).Kind);
        exchange.Dispose();
        peer.Dispose();
    }

    [Fact]
    public async Task Cancelled_after_it_was_given_back_Connection_serves_the_next()
    {
        using var harness = Harness();
        var done = harness.Client.Open();
        var sending = done.SendAsync(UpstreamHarness.Post());
        using var peer = await harness.Host.AcceptAsync();
        await peer.ReadRequestAsync();
        await peer.SendAsync(Hello);
        await sending;
        await done.ReadAllAsync();
        done.Dispose();

        done.Cancel();
        await harness.AnswerAsync(peer, Hello);

        Assert.False(harness.Host.HasPending);
    }

    [Fact]
    public async Task Disposed_in_the_middle_Host_sees_it_at_once()
    {
        using var harness = Harness();
        var (exchange, peer) = await harness.StreamAsync();
        exchange.QuietAt = harness.Ticker.Now + 100;
        var reading = exchange.ReadAsync();
        harness.Time.Advance(TimeSpan.FromSeconds(0.2));
        await reading; // quiet, and a receive is under way

        exchange.Dispose();

        await peer.WaitForGoneAsync();
        peer.Dispose();
    }

    [Fact]
    public async Task Deadline_before_the_head_Is_a_time_out_and_closes()
    {
        using var harness = Harness();
        using var exchange = harness.Client.Open();
        exchange.Deadline = harness.Ticker.Now + 5000;
        exchange.QuietAt = harness.Ticker.Now + 1000;
        var sending = exchange.SendAsync(UpstreamHarness.Post()).AsTask();
        using var peer = await harness.Host.AcceptAsync();
        await peer.ReadRequestAsync();

        harness.Time.Advance(TimeSpan.FromSeconds(4.9));
        Assert.False(sending.IsCompleted);
        harness.Time.Advance(TimeSpan.FromSeconds(0.2));
        var head = await sending;

        Assert.Equal(UpstreamOutcome.TimedOut, head.Outcome);
        await peer.WaitForGoneAsync();
    }

    [Fact]
    public async Task Deadline_in_the_body_Is_a_time_out_and_closes()
    {
        using var harness = Harness();
        var (exchange, peer) = await harness.StreamAsync();
        exchange.Deadline = harness.Ticker.Now + 5000;
        var reading = exchange.ReadAsync();

        harness.Time.Advance(TimeSpan.FromSeconds(5.2));
        var read = await reading;

        Assert.Equal(ReplyReadKind.TimedOut, read.Kind);
        Assert.NotNull(exchange.Failure);
        await peer.WaitForGoneAsync();
        exchange.Dispose();
        peer.Dispose();
    }

    [Fact]
    public async Task Reader_that_is_slow_itself_Is_not_timed_out()
    {
        using var harness = Harness();
        var (exchange, peer) = await harness.StreamAsync();
        exchange.Deadline = harness.Ticker.Now + 1000;
        harness.Time.Advance(TimeSpan.FromSeconds(5)); // nobody waits

        exchange.Deadline = harness.Ticker.Now + 1000;
        await peer.SendAsync("5\r\nhello\r\n0\r\n\r\n");

        Assert.Equal(("hello", ReplyReadKind.End), await exchange.ReadAllAsync());
        exchange.Dispose();
        peer.Dispose();
    }

    [Fact]
    public async Task Silence_Is_quiet_again_and_again_and_the_reply_goes_on()
    {
        using var harness = Harness();
        var (exchange, peer) = await harness.StreamAsync();
        for (var round = 0; round < 3; round++)
        {
            exchange.QuietAt = harness.Ticker.Now + 1000;
            var waiting = exchange.ReadAsync();
            harness.Time.Advance(TimeSpan.FromSeconds(1.1));
            Assert.Equal(ReplyReadKind.Quiet, (await waiting).Kind);
        }

        exchange.QuietAt = ReplyBody.Never;
        var reading = exchange.ReadAllAsync();
        await peer.SendAsync("5\r\nhello\r\n0\r\n\r\n");

        Assert.Equal(("hello", ReplyReadKind.End), await reading);
        exchange.Dispose();
        peer.Dispose();
    }

    [Fact]
    public async Task Many_exchanges_cancelled_at_any_moment_None_hangs()
    {
        using var harness = Harness();
        using var over = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        var host = harness.Host.ServeAsync("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nhello\r\n0\r\n\r\n", over.Token);
        var outcomes = await Task.WhenAll(Enumerable.Range(0, 200).Select(async number =>
        {
            using var exchange = harness.Client.Open();
            var cancelling = Task.Run(
                () =>
                {
                    for (var spin = 0; spin < number * 50; spin++) Thread.SpinWait(20);
                    exchange.Cancel();
                },
                TestContext.Current.CancellationToken);
            var head = await exchange.SendAsync(UpstreamHarness.Post());
            var last = ReplyReadKind.Cancelled;
            if (head.Outcome == UpstreamOutcome.Answered) (_, last) = await exchange.ReadAllAsync();
            await cancelling;
            return (head.Outcome, last);
        }));
        await over.CancelAsync();
        await host;

        Assert.All(outcomes, outcome => Assert.True(outcome is (UpstreamOutcome.Cancelled, _) or (UpstreamOutcome.Answered, ReplyReadKind.Cancelled or ReplyReadKind.End), outcome.ToString()));
    }

    private UpstreamHarness Harness(Uri? address = null, UpstreamHeader[]? headers = null) => new(address, headers, onLoops);

    private static async Task<(int Status, string Text, ReplyReadKind Last)> ReadAsync(UpstreamExchange exchange, ValueTask<UpstreamHead> sending)
    {
        var head = await sending;
        var (text, last) = await exchange.ReadAllAsync();
        return (head.Status, text, last);
    }

    /// <summary>A listener whose queue is full: further connections are neither taken nor refused.</summary>
    private sealed class FullListener : IDisposable
    {
        private readonly Socket listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        private readonly List<Socket> queued = [];

        public FullListener()
        {
            listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
            listener.Listen(0);
            for (var i = 0; i < 3; i++)
            {
                var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { Blocking = false };
                queued.Add(socket);
                try
                {
                    socket.Connect(listener.LocalEndPoint!);
                }
                catch (SocketException)
                {
                    // Under way; it is only there to fill the queue.
                }
            }
        }

        public Uri Address => new($"http://127.0.0.1:{((IPEndPoint)listener.LocalEndPoint!).Port}");

        public void Dispose()
        {
            foreach (var socket in queued) socket.Dispose();
            listener.Dispose();
        }
    }
}
