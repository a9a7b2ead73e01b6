namespace Proxy.Tests.Transport;

/// <summary>Runs the tests of the transport with plain requests served before Kestrel, and adds those for plain requests only.</summary>
public sealed class Http1ConnectionTests : LoopTransportTests
{
    protected override bool ServesPlain => true;

    [Theory]
    [InlineData("GET /who HTTP/1.1\r\nHost: x\r\n\r\n")]
    [InlineData("POST /who HTTP/1.1\r\nHost: x:80\r\nContent-Length: 0\r\nconnection: Keep-Alive\r\nAccept: */*\r\n\r\n")]
    public async Task Plain_request_Is_served_before_the_server(string request)
    {
        var client = await ConnectAsync();
        await client.SendAsync(request);
        Assert.Equal((200, "plain"), await client.ReadAnswerAsync());
    }

    [Theory]
    [InlineData("GET /who?a=b HTTP/1.1\r\nHost: x\r\n\r\n")]
    [InlineData("GET /who HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")]
    [InlineData("GET /who HTTP/1.1\r\nHost: x\r\nCookie: a\tb\r\n\r\n")]
    [InlineData("GET /who HTTP/1.1\r\nHost: x\r\nAccept: a\r\nAccept: b\r\n\r\n")]
    [InlineData("POST /who HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")]
    [InlineData("PUT /who HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")]
    public async Task Unusual_request_Is_the_servers_and_so_are_those_after_it(string request)
    {
        var client = await ConnectAsync();
        await client.SendAsync("GET /who HTTP/1.1\r\nHost: x\r\n\r\n");
        Assert.Equal((200, "plain"), await client.ReadAnswerAsync());

        await client.SendAsync(request);
        Assert.Equal((200, "server"), await client.ReadAnswerAsync());

        if (request.Contains("close", StringComparison.Ordinal)) return;
        await client.SendAsync("GET /who HTTP/1.1\r\nHost: x\r\n\r\n");
        Assert.Equal((200, "server"), await client.ReadAnswerAsync());
    }

    [Theory]
    [InlineData("POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd")]
    [InlineData("POST /length HTTP/1.1\r\nHost: x\r\nContent-Length : 3\r\n\r\nabc")]
    [InlineData("POST /length HTTP/1.1\r\nHost: x\r\nHost: y\r\nContent-Length: 3\r\n\r\nabc")]
    [InlineData("POST /length HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc")]
    [InlineData("POST /length HTTP/1.1\r\nHost: x\r\n folded\r\nContent-Length: 3\r\n\r\nabc")]
    public async Task Request_with_two_readings_Is_refused_even_after_plain_ones(string request)
    {
        var client = await ConnectAsync();
        await client.SendAsync("POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
        Assert.Equal((200, "3"), await client.ReadAnswerAsync());

        await client.SendAsync(request);

        Assert.Equal(400, (await client.ReadAnswerAsync()).Status);
    }

    [Fact]
    public async Task Head_cut_anywhere_Is_answered()
    {
        const string Request = "POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc";
        for (var cut = 1; cut < Request.Length; cut++)
        {
            using var client = await ConnectAsync();
            await client.SendAsync(Request[..cut]);
            await Task.Yield();
            await client.SendAsync(Request[cut..]);
            Assert.Equal((200, "3"), await client.ReadAnswerAsync());
        }
    }

    [Fact]
    public async Task Headers_of_each_request_Are_its_own()
    {
        var client = await ConnectAsync();
        foreach (var fields in (string[][])[["a: 1", "b: 2", "c: 3"], ["a: 1", "c: 3"], ["a: 1", "c: 4", "d: 5"], [], ["b: 2"], ["a: 1", "b: 2", "c: 3"]])
        {
            await client.SendAsync($"GET /echo-headers HTTP/1.1\r\nHost: x\r\n{string.Concat(fields.Select(field => field + "\r\n"))}\r\n");
            Assert.Equal((200, string.Join('|', ["Host=x", .. fields.Select(field => field.Replace(": ", "=", StringComparison.Ordinal))])),
                await client.ReadAnswerAsync());
        }
    }

    [Fact]
    public async Task Body_that_nobody_reads_Is_skipped()
    {
        var client = await ConnectAsync();
        for (var i = 0; i < 3; i++)
        {
            await client.SendAsync($"POST /unread HTTP/1.1\r\nHost: x\r\nContent-Length: {200_000}\r\n\r\n");
            Assert.Equal((413, "too large"), await client.ReadAnswerAsync());
            await client.SendAsync(new string('x', 200_000));
        }
    }

    [Fact]
    public async Task Answers_of_every_framing_Follow_each_other()
    {
        var client = await ConnectAsync();
        await client.SendAsync("GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n");
        var head = System.Text.Encoding.ASCII.GetString(await client.ThroughAsync("\r\n\r\n"));
        Assert.StartsWith("HTTP/1.1 204 No Content\r\n", head, StringComparison.Ordinal);
        Assert.DoesNotContain("Content-Length", head, StringComparison.Ordinal);
        Assert.Contains("\r\nDate: ", head, StringComparison.Ordinal);

        foreach (var (path, text) in ((string, string)[])[("unflushed", "unflushed"), ("stream", "first second third fourth"),
            ("sized-stream", "first second third fourth"), ("length", "0")])
        {
            await client.SendAsync($"POST /{path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
            Assert.Equal((200, text), await client.ReadAnswerAsync());
        }
    }

    [Theory]
    [InlineData("/long")]
    [InlineData("/header")]
    public async Task Handler_that_breaks_the_protocol_Becomes_an_error(string path)
    {
        var client = await ConnectAsync();
        await client.SendAsync($"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        if (path == "/header") Assert.Equal((500, ""), await client.ReadAnswerAsync());
        else Assert.False(await client.ReadToEndAsync() is { } all && all.Contains("long", StringComparison.Ordinal), "more than its length was sent");
    }

    [Fact]
    public async Task Body_shorter_than_its_length_Ends_the_connection()
    {
        var client = await ConnectAsync();
        await client.SendAsync("GET /short HTTP/1.1\r\nHost: x\r\n\r\nGET /who HTTP/1.1\r\nHost: x\r\n\r\n");

        Assert.DoesNotContain("plain", await client.ReadToEndAsync(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("/silent", "")]
    [InlineData("/fault", "")]
    [InlineData("/late", "late")]
    public async Task Half_closed_client_Gets_what_is_complete_and_no_status_for_what_never_began(string path, string expected)
    {
        var client = await ConnectAsync();
        await client.SendAsync($"GET /who HTTP/1.1\r\nHost: x\r\n\r\nGET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        client.HalfClose();

        Assert.Equal((200, "plain"), await client.ReadAnswerAsync()); // the answer to the request before
        if (expected.Length > 0) Assert.Equal((200, expected), await client.ReadAnswerAsync());
        Assert.Equal("", await client.ReadToEndAsync());
    }

    [Fact]
    public async Task Client_that_connected_before_the_stop_Is_answered_and_told_that_the_connection_ends()
    {
        var fresh = await ConnectAsync();
        var used = await ConnectAsync();
        await used.SendAsync("GET /who HTTP/1.1\r\nHost: x\r\n\r\n");
        Assert.Equal((200, "plain"), await used.ReadAnswerAsync());

        var stopping = StopAsync();
        Assert.Equal("", await used.ReadToEndAsync()); // now the connections know that the server stops
        await fresh.SendAsync("GET /who HTTP/1.1\r\nHost: x\r\n\r\n");

        var answer = await fresh.ReadToEndAsync();
        Assert.StartsWith("HTTP/1.1 200 OK\r\n", answer, StringComparison.Ordinal);
        Assert.Contains("\r\nConnection: close\r\n", answer, StringComparison.Ordinal);
        Assert.Contains("plain", answer, StringComparison.Ordinal);
        await stopping;
    }
}
