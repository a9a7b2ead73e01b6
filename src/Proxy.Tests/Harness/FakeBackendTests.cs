using System.Net.Sockets;
using System.Text;

namespace Proxy.Tests.Harness;

/// <summary>The fake host must really fail in the ways that it offers, or the tests that use it prove nothing.</summary>
public sealed class FakeBackendTests : IAsyncLifetime
{
    private readonly FakeBackend host = FakeBackend.Start();

    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public ValueTask DisposeAsync() => host.DisposeAsync();

    [Fact]
    public async Task Script_streams_Client_reads_the_frames_and_a_clean_end()
    {
        host.Answer(exchange => exchange.StreamAsync(OpenAi.Sse, OpenAi.Stream("Hé", "llo")));

        var reply = await PostAsync("{}");

        Assert.True(reply.Whole);
        Assert.Equal("Héllo", OpenAi.Read(reply));
    }

    [Fact]
    public async Task Two_requests_on_one_connection_Both_are_recorded_byte_for_byte()
    {
        host.Answer(exchange => exchange.JsonAsync(exchange.Request.Text));
        await using var client = await RawClient.ConnectAsync(new Uri(host.Url));

        await client.RequestAsync("POST", "/x", "{\"a\":1.50}"u8.ToArray());
        var first = await client.ReadReplyAsync();
        await client.RequestAsync("POST", "/y", "5\r\n{\"b\":\r\n4\r\n\"é\"\r\n1\r\n}\r\n0\r\n\r\n"u8.ToArray(), "Transfer-Encoding: chunked");
        var second = await client.ReadReplyAsync();

        Assert.Equal("{\"a\":1.50}", first.Text);
        Assert.Equal("{\"b\":\"é\"}", second.Text);
        Assert.Equal(["/x", "/y"], host.Calls.Select(call => call.Target));
        Assert.Equal(1, host.Connections);
    }

    [Fact]
    public async Task Host_refuses_and_listens_again_Connections_fail_and_then_work()
    {
        host.Answer(exchange => exchange.JsonAsync("{}"));

        host.Refuse();
        await Assert.ThrowsAsync<SocketException>(() => PostAsync("{}"));
        host.Listen();

        Assert.Equal(200, (await PostAsync("{}")).Status);
    }

    [Fact]
    public async Task Script_resets_Client_sees_a_broken_answer()
    {
        host.Answer(async exchange =>
        {
            await exchange.HeadAsync(OpenAi.Sse);
            await exchange.ChunkAsync("data: 1\n\n");
            exchange.Reset();
        });

        await using var client = await RawClient.ConnectAsync(new Uri(host.Url));
        await client.RequestAsync("POST", "/x", "{}"u8.ToArray());
        var reply = await client.ReadReplyAsync();

        Assert.False(reply.Whole);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Client_leaves_Script_learns_of_it(bool reset)
    {
        host.Answer(exchange => exchange.StallAsync());
        var arrival = host.NextCallAsync();
        await using var client = await RawClient.ConnectAsync(new Uri(host.Url));
        await client.RequestAsync("POST", "/x", "{}"u8.ToArray());
        var exchange = await arrival;
        Assert.False(exchange.Gone.IsCompleted);

        if (reset)
            client.Reset();
        else
            client.Leave();

        await Patience.For(exchange.Gone, "the client's leaving");
    }

    private Task<RawReply> PostAsync(string body) => RawClient.SendAsync(new Uri(host.Url), "POST", "/v1/chat/completions", Encoding.UTF8.GetBytes(body));
}
