using System.Text;
using Proxy.Buffers;
using Proxy.Transport;

namespace Proxy.Tests.Transport;

public sealed class SocketUpstreamTests
{
    private const string Lengthy = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\nhello";

    [Fact]
    public async Task Post_Arrives_whole_with_our_headers_and_answer_is_read()
    {
        using var host = new FakeHost();
        using var ticker = new CoarseTicker(TimeProvider.System);
        using var client = UpstreamClients.Create(new(host.Address) { Headers = [new("Authorization", "Bearer ours")] }, ticker);
        using var exchange = client.Open();
        var sending = exchange.SendAsync(UpstreamHarness.Post("{\"a\":1}") with { Headers = [new("traceparent", "00-1"), new("Host", "evil"), new("x-bad", "a\r\nb: c")] });
        using var peer = await host.AcceptAsync();

        var request = await peer.ReadRequestAsync();
        await peer.SendAsync("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Request-Id: r1\r\nServer: x\r\nRetry-After: 7\r\nContent-Length: 5\r\n\r\nhello");
        var head = await sending;
        var (text, last) = await exchange.ReadAllAsync();

        Assert.Equal($"POST /v1/x HTTP/1.1\r\nHost: 127.0.0.1:{host.Port}\r\nAccept-Encoding: identity\r\nAuthorization: Bearer ours\r\nContent-Type: application/json\r\ntraceparent: 00-1\r\nContent-Length: 7\r\n\r\n{{\"a\":1}}", request);
        Assert.Equal((UpstreamOutcome.Answered, 200, "application/json", 5L), (head.Outcome, head.Status, head.ContentType, head.ContentLength));
        Assert.Equal([new("x-request-id", "r1"), new("retry-after", "7")], head.Headers);
        Assert.Equal(("hello", ReplyReadKind.End), (text, last));
    }

    [Theory]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;ext=\"a\"\r\nllo\r\n0\r\nX-Trailer: a\r\nB: c\r\n\r\n")]
    [InlineData("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nX-Folded: a\r\n b\r\nContent-Length:\r\n 5\r\n\r\nhello")]
    [InlineData("HTTP/1.1 200 OK\nContent-Length: 5\n\nhello")]
    public async Task Answer_cut_at_any_byte_Reads_the_same(string answer)
    {
        using var harness = new UpstreamHarness();
        Peer? peer = null;
        for (var cut = 1; cut < answer.Length; cut++)
        {
            using var exchange = harness.Client.Open();
            var sending = exchange.SendAsync(UpstreamHarness.Post());
            if (peer is null)
            {
                peer = await harness.Host.AcceptAsync();
                peer.NoDelay();
            }

            await peer.ReadRequestAsync();
            await peer.SendAsync(answer[..cut]);
            var reading = ReadAsync(exchange, sending);
            await Task.Yield();
            await peer.SendAsync(answer[cut..]);
            var (status, text, last) = await reading;

            Assert.Equal((200, "hello", ReplyReadKind.End), (status, text, last));
        }

        Assert.False(harness.Host.HasPending); // one connection served them all
        peer!.Dispose();
    }

    private static async Task<(int Status, string Text, ReplyReadKind Last)> ReadAsync(UpstreamExchange exchange, ValueTask<UpstreamHead> sending)
    {
        var head = await sending;
        var (text, last) = await exchange.ReadAllAsync();
        return (head.Status, text, last);
    }
}
