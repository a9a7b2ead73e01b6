using System.Text;
using Proxy.Buffers;
using Proxy.Transport;

namespace Proxy.Tests.Transport;

/// <summary>
/// What every client of hosts promises, whatever its bytes cross: each derived class holds one client to all of it. Here: what is asked and answered. In further files: connections, early
/// ends, and a host that was away.
/// </summary>
public abstract partial class UpstreamContract(UpstreamKind kind)
{
    private const string Hello = UpstreamHarness.Hello;

    [Fact]
    public async Task Post_Arrives_whole_and_answer_is_read()
    {
        using var harness = Harness(set: target => target with { Headers = [new("Authorization", "Bearer ours")] });
        using var exchange = harness.Client.Open();
        var sending = exchange.SendAsync(UpstreamHarness.Post("{\"a\":1}") with { Headers = [new("traceparent", "00-1"), new("Host", "evil"), new("x-bad", "a\r\nb: c")] });
        using var peer = await harness.Host.AcceptAsync();

        var request = await peer.ReadRequestAsync();
        await peer.SendAsync("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Request-Id: r1\r\nServer: x\r\nRetry-After: 7\r\nX-RateLimit-Limit-Tokens: 9\r\nopenai-organization: caf\xe9\r\nContent-Length: 5\r\n\r\nhello");
        var head = await sending;
        var (text, last) = await exchange.ReadAllAsync();

        Assert.Equal($"POST /v1/x HTTP/1.1\r\nHost: {harness.Host.Address.Authority}\r\nAccept-Encoding: identity\r\nAuthorization: Bearer ours\r\nContent-Type: application/json\r\ntraceparent: 00-1\r\nContent-Length: 7\r\n\r\n{{\"a\":1}}", request);
        Assert.Equal((UpstreamOutcome.Answered, 200, "application/json", 5L), (head.Outcome, head.Status, head.ContentType, head.ContentLength));
        Assert.Equal([new("x-request-id", "r1"), new("retry-after", "7"), new("x-ratelimit-limit-tokens", "9")], head.Headers);
        Assert.Equal(("hello", ReplyReadKind.End), (text, last));
    }

    [Theory]
    [InlineData(null, "1.1 us")]
    [InlineData("1.1 them, 2 others", "1.1 them, 2 others, 1.1 us")]
    public async Task Via_Says_whom_the_call_has_come_by_and_us_last(string? before, string via)
    {
        using var harness = Harness(set: target => target with { Via = "1.1 us", Headers = [new("x-a", "b")] });
        using var exchange = harness.Client.Open();
        var sending = exchange.SendAsync(UpstreamHarness.Post() with { Via = before, Headers = [new("x-c", "d")] });
        using var peer = await harness.Host.AcceptAsync();

        var request = await peer.ReadRequestAsync();
        await peer.SendAsync(Hello);
        await sending;

        var lines = request.Split("\r\n");
        Assert.Equal([$"Via: {via}"], lines.Where(static line => line.StartsWith("via:", StringComparison.OrdinalIgnoreCase)));
        Assert.Contains("x-a: b", lines);
        Assert.Contains("x-c: d", lines);
        Assert.EndsWith("\r\n\r\n{}", request);
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

        Assert.Equal($"GET /a%20b%0D%0AX:%20%C3%A9?q=1 HTTP/1.1\r\nHost: {harness.Host.Address.Authority}\r\nAccept-Encoding: identity\r\n\r\n", request);
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
    public async Task Host_sends_interim_answers_for_ever_It_is_given_up()
    {
        using var harness = Harness();
        using var exchange = harness.Client.Open();
        var sending = exchange.SendAsync(UpstreamHarness.Post());
        using var peer = await harness.Host.AcceptAsync();
        await peer.ReadRequestAsync();

        await peer.SendAsync(string.Concat(Enumerable.Repeat("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", 16)));
        await peer.SendAsync("HTTP/1.1 103 Early Hints\r\n\r\n");
        var head = await sending;

        Assert.Equal(UpstreamOutcome.NotHttp, head.Outcome);
        Assert.Contains("16 interim answers", head.Failure, StringComparison.Ordinal);
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
    public async Task Small_body_in_three_pieces_Arrives_as_one()
    {
        using var harness = Harness();
        using var exchange = harness.Client.Open();
        var sending = exchange.SendAsync(UpstreamHarness.Post() with { Body = new("{\"model\":\""u8.ToArray(), "other"u8.ToArray(), "\"}"u8.ToArray()) });
        using var peer = await harness.Host.AcceptAsync();

        var request = await peer.ReadRequestAsync();
        await peer.SendAsync(Hello);
        await sending;

        Assert.EndsWith("\r\nContent-Length: 17\r\n\r\n{\"model\":\"other\"}", request, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Compressed_although_identity_was_asked_The_head_says_so()
    {
        using var harness = Harness();
        using var exchange = harness.Client.Open();
        var sending = exchange.SendAsync(UpstreamHarness.Get());
        using var peer = await harness.Host.AcceptAsync();
        await peer.ReadRequestAsync();
        await peer.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Encoding: gzip\r\n\r\nx");

        Assert.Equal("gzip", (await sending).ContentEncoding);
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

    private UpstreamHarness Harness(Uri? address = null, Func<UpstreamTarget, UpstreamTarget>? set = null) => new(kind, address, set);

    private static async Task<(int Status, string Text, ReplyReadKind Last)> ReadAsync(UpstreamExchange exchange, ValueTask<UpstreamHead> sending)
    {
        var head = await sending;
        var (text, last) = await exchange.ReadAllAsync();
        return (head.Status, text, last);
    }
}
