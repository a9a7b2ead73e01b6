using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Proxy.Buffers;
using Proxy.Transport;
using Proxy.Transport.Loops;

namespace Proxy.Tests.Transport;

/// <summary>A client, a host and a clock that only the test moves.</summary>
internal sealed class UpstreamHarness : IDisposable
{
    /// <summary>A short answer.</summary>
    public const string Hello = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

    private readonly EventLoops? loops;

    /// <param name="onLoops">Whether the client uses the event loops; else .NET's sockets.</param>
    public UpstreamHarness(Uri? address = null, UpstreamHeader[]? headers = null, bool onLoops = false)
    {
        Host = new();
        Ticker = new(Time);
        if (onLoops) loops = new(1, Ticker, NullLogger.Instance);
        Client = UpstreamClients.Create(new(address ?? Host.Address) { Headers = headers ?? [] }, Ticker, loops);
    }

    public UpstreamHarness(FakeHost host, UpstreamTarget target)
    {
        Host = host;
        Ticker = new(Time);
        Client = UpstreamClients.Create(target, Ticker);
    }

    public FakeHost Host { get; }
    public FakeTimeProvider Time { get; } = new();
    public CoarseTicker Ticker { get; }
    public UpstreamClient Client { get; }

    public static UpstreamRequest Post(string body = "{}") => new("POST", "/v1/x", new(Encoding.UTF8.GetBytes(body))) { ContentType = "application/json" };

    public static UpstreamRequest Get(string path = "/") => new("GET", path, default);

    /// <summary>One exchange on a new connection. Returns the host's end, which the client may reuse.</summary>
    public async Task<Peer> AnswerOnceAsync(string answer)
    {
        Peer peer;
        using (var exchange = Client.Open())
        {
            var sending = exchange.SendAsync(Post());
            peer = await Host.AcceptAsync();
            await AnswerAsync(peer, answer, exchange, sending);
        }

        await SettleAsync();
        return peer;
    }

    /// <summary>One exchange on an idle connection.</summary>
    public async Task AnswerAsync(Peer peer, string answer)
    {
        using (var exchange = Client.Open()) await AnswerAsync(peer, answer, exchange, exchange.SendAsync(Post()));
        await SettleAsync();
    }

    /// <summary>Starts a chunked answer.</summary>
    public async Task<(UpstreamExchange Exchange, Peer Peer)> StreamAsync()
    {
        var exchange = Client.Open();
        var sending = exchange.SendAsync(Post());
        var peer = await Host.AcceptAsync();
        await peer.ReadRequestAsync();
        await peer.SendAsync("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        Assert.Equal(200, (await sending).Status);
        return (exchange, peer);
    }

    /// <summary>Waits until a loop has done its queued work, which it does in order.</summary>
    public async Task SettleAsync()
    {
        if (loops is null) return;
        await loops.All[0].EnterAsync();
        await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
    }

    public void Dispose()
    {
        Client.Dispose();
        loops?.Dispose();
        Ticker.Dispose();
        Host.Dispose();
    }

    private static async Task AnswerAsync(Peer peer, string answer, UpstreamExchange exchange, ValueTask<UpstreamHead> sending)
    {
        Assert.NotEqual("", await peer.ReadRequestAsync());
        await peer.SendAsync(answer);
        Assert.Equal(UpstreamOutcome.Answered, (await sending).Outcome);
        Assert.Equal(ReplyReadKind.End, (await exchange.ReadAllAsync()).Last);
    }
}

internal static class ReplyReading
{
    /// <summary>Everything up to the first result that is not data, as text.</summary>
    public static async Task<(string Text, ReplyReadKind Last)> ReadAllAsync(this ReplyBody body)
    {
        using var all = new PooledBody();
        while (true)
        {
            var read = await body.ReadAsync().ConfigureAwait(false);
            if (read.Kind != ReplyReadKind.Data) return (Encoding.Latin1.GetString(all.Span), read.Kind);
            Assert.False(read.Bytes.IsEmpty);
            all.Write(read.Bytes.Span);
        }
    }
}
