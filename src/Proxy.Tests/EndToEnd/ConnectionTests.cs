using System.Text;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>HTTP as real clients and hosts speak it.</summary>
public sealed class ConnectionTests(ConnectionTests.Door door) : IClassFixture<ConnectionTests.Door>
{
    public sealed class Door : FrontDoor
    {
        protected override int Lanes => 16;
    }

    [Fact]
    public async Task Client_waits_for_100_continue_It_is_told_to_go_on()
    {
        var lane = FineLane();
        var body = Encoding.UTF8.GetBytes(OpenAi.Request(lane.Solo));
        await using var client = await RawClient.ConnectAsync(door.Address);

        await client.RequestAsync("POST", "/v1/chat/completions", ReadOnlyMemory<byte>.Empty, "Expect: 100-continue", $"Content-Length: {body.Length}");
        await client.ReadInterimAsync();
        await client.SendAsync(body);
        var reply = await client.ReadReplyAsync();

        Assert.Equal(200, reply.Status);
        Assert.Equal(body, lane.A.Calls[0].Body);
        Assert.Null(lane.A.Calls[0].Header("expect"));
    }

    [Fact]
    public async Task Client_speaks_HTTP_1_0_It_reads_until_the_connection_ends()
    {
        var lane = FineLane(stream: true);
        var body = OpenAi.Request(lane.Solo, stream: true);
        await using var client = await RawClient.ConnectAsync(door.Address);

        await client.SendAsync(Encoding.UTF8.GetBytes($"POST /v1/chat/completions HTTP/1.0\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            + $"Content-Length: {body.Length}\r\n\r\n{body}"));
        var reply = await client.ReadReplyAsync();

        Assert.Equal(200, reply.Status);
        Assert.Null(reply.Header("transfer-encoding"));
        Assert.Equal(string.Concat(OpenAi.Stream("fi", "ne")), reply.Text);
    }

    [Fact]
    public async Task Client_asks_to_close_The_connection_ends_after_the_answer()
    {
        var lane = FineLane();
        await using var client = await RawClient.ConnectAsync(door.Address);

        await client.RequestAsync("POST", "/v1/chat/completions", Encoding.UTF8.GetBytes(OpenAi.Request(lane.Solo)), "Connection: close");
        var reply = await client.ReadReplyAsync();

        Assert.Equal(200, reply.Status);
        await Assert.ThrowsAsync<IOException>(client.ReadHeadAsync);
    }

    [Fact]
    public async Task Client_refused_in_one_call_makes_the_next_on_the_same_connection()
    {
        var lane = FineLane();
        await using var client = await RawClient.ConnectAsync(door.Address);

        await client.RequestAsync("POST", "/v1/chat/completions", "{}"u8.ToArray());
        var first = await client.ReadReplyAsync();
        await client.RequestAsync("POST", "/v1/chat/completions", Encoding.UTF8.GetBytes(OpenAi.Request(lane.Solo)));
        var second = await client.ReadReplyAsync();

        Assert.Equal("400 200", $"{first.Status} {second.Status}");
    }

    [Theory]
    [InlineData("Content-Length: +2\r\n\r\n{}")]
    [InlineData("Content-Length: 2\r\nx(a): b\r\n\r\n{}")]
    [InlineData("Content-Length: 2\r\nx\"a\": b\r\n\r\n{}")]
    [InlineData("Content-Length: 2\r\nx\\a: b\r\n\r\n{}")]
    [InlineData("Content-Length: 2\r\nx\u0001: b\r\n\r\n{}")]
    [InlineData("Content-Length: 2\r\nx: a\u0001b\r\n\r\n{}")]
    [InlineData("Content-Length: 2\r\nx: a\u007fb\r\n\r\n{}")]
    [InlineData("Content-Length: 12\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n")]
    [InlineData("Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", "HTTP/1.0")]
    public async Task Head_breaks_a_rule_that_the_general_server_lets_pass_It_is_refused(string rest, string protocol = "HTTP/1.1")
    {
        foreach (var path in new[] { "/health", "/v1/models", "/v1/chat/completions" })
        {
            await using var client = await RawClient.ConnectAsync(door.Address);
            await client.SendAsync(Encoding.Latin1.GetBytes($"{(path.EndsWith('s') ? "POST" : "GET")} {path} {protocol}\r\nHost: 127.0.0.1\r\n{rest}"));
            var reply = await client.ReadReplyAsync();

            Assert.Equal(400, reply.Status);
            Assert.DoesNotContain("\"model\"", reply.Text, StringComparison.Ordinal); // the body is not the reason
        }
    }

    [Theory]
    [InlineData("fffffffffffffffff\r\n", "")]
    [InlineData("80000000\r\n", "")]
    [InlineData("7fffffffffffffff0\r\n", "Content-Encoding: gzip\r\n")]
    [InlineData("-1\r\n", "")]
    [InlineData("zz\r\n", "")]
    public async Task Chunk_has_no_possible_size_It_is_the_clients_mistake(string chunk, string header)
    {
        var correlation = FrontDoor.Correlation();
        await using var client = await RawClient.ConnectAsync(door.Address);

        await client.SendAsync(Encoding.ASCII.GetBytes($"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n{header}x-correlation-id: {correlation}\r\n"
            + $"Transfer-Encoding: chunked\r\n\r\n{chunk}"));
        var reply = await client.ReadReplyAsync();

        Assert.Equal(400, reply.Status);
        Assert.Contains("chunk", reply.ErrorMessage, StringComparison.OrdinalIgnoreCase);
        Assert.Equal("refused client 400", (await door.Proxy.Log.CallAsync(correlation)).Verdict);
        Assert.DoesNotContain(door.Proxy.Log.Lines, line => ProxyLog.Text(line, "event") is "call_failed");
    }

    [Theory]
    [InlineData("POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{}")]
    [InlineData("POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        + "GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n")]
    [InlineData("POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")]
    [InlineData("POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil\r\nContent-Length: 2\r\n\r\n{}")]
    [InlineData("POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}")]
    public async Task Request_could_be_read_in_two_ways_It_is_refused(string request)
    {
        await using var client = await RawClient.ConnectAsync(door.Address);

        await client.SendAsync(Encoding.ASCII.GetBytes(request));
        var reply = await client.ReadReplyAsync();

        Assert.InRange(reply.Status, 400, 403);
    }

    [Fact]
    public async Task Host_closes_after_each_answer_Every_call_is_served()
    {
        var lane = door.Take();
        lane.A.Answer(async exchange =>
        {
            await exchange.WholeAsync(200, "application/json", OpenAi.Whole("fine"), "Connection: close");
            exchange.Close();
        });

        for (var i = 0; i < 5; i++)
            Assert.Equal("ok none 200", (await lane.ChatAsync(lane.Solo, stream: false)).Line.Verdict);
        Assert.Equal(5, lane.A.Calls.Count);
    }

    [Fact]
    public async Task Host_announces_when_it_drops_idle_connections_It_is_not_taken_at_its_last_second()
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.JsonAsync(OpenAi.Whole("fine"), 200, "Keep-Alive: timeout=1"));

        await lane.ChatAsync(lane.Solo, stream: false);
        await lane.ChatAsync(lane.Solo, stream: false);

        // The proxy stops using an idle connection one second before the host closes it, which here is at once.
        Assert.NotEqual(lane.A.Calls[0].Connection, lane.A.Calls[1].Connection);
    }

    [Fact]
    public async Task Host_sends_more_than_it_announced_The_surplus_reaches_nobody()
    {
        var lane = door.Take();
        lane.A.Once(async exchange =>
        {
            await exchange.JsonAsync(OpenAi.Whole("first"));
            await exchange.SendAsync("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 8\r\n\r\n\"smuggle");
        });
        lane.A.Answer(exchange => exchange.JsonAsync(OpenAi.Whole("second")));
        await lane.ChatAsync(lane.Solo, stream: false);

        var (reply, line) = await lane.ChatAsync(lane.Solo, stream: false);

        Assert.Equal(OpenAi.Whole("second"), reply.Text);
        Assert.Equal("ok none 200", line.Verdict);
    }

    [Fact]
    public async Task Big_request_and_big_answer_Both_arrive_whole()
    {
        var lane = door.Take();
        var text = string.Concat(Enumerable.Repeat("é😀 ", 700_000));
        lane.A.Answer(exchange => exchange.JsonAsync(OpenAi.Whole(text)));
        var body = OpenAi.Request(lane.Solo, text: text);

        var reply = await door.PostAsync("/v1/chat/completions", body);

        Assert.Equal(200, reply.Status);
        Assert.True(OpenAi.Whole(text) == reply.Text, "the answer differs");
        Assert.True(body == lane.A.Calls[0].Text, "the request differs");
    }

    [Fact]
    public async Task Many_streams_at_once_None_mixes_with_another()
    {
        var lane = door.Take();
        lane.A.Answer(async exchange =>
        {
            var own = exchange.Request.Json.GetProperty("messages")[0].GetProperty("content").GetString()!;
            await exchange.HeadAsync(OpenAi.Sse);
            foreach (var frame in OpenAi.Stream([.. Enumerable.Range(0, 20).Select(i => $"{own}.{i} ")]))
            {
                await exchange.ChunkAsync(frame);
                await Task.Yield();
            }

            await exchange.EndAsync();
        });

        await Task.WhenAll(Enumerable.Range(0, 100).Select(async n =>
        {
            var reply = await door.PostAsync("/v1/chat/completions", OpenAi.Request(lane.Solo, stream: true, text: $"c{n}"));
            Assert.Equal(string.Concat(Enumerable.Range(0, 20).Select(i => $"c{n}.{i} ")), OpenAi.Read(reply));
        }));
    }

    private Lane FineLane(bool stream = false)
    {
        var lane = door.Take();
        lane.A.Answer(exchange => stream ? exchange.StreamAsync(OpenAi.Sse, OpenAi.Stream("fi", "ne")) : exchange.JsonAsync(OpenAi.Whole("fine")));
        return lane;
    }
}
