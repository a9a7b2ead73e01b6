using System.Security.Cryptography.X509Certificates;
using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Proxy.Buffers;
using Proxy.Tests.Harness;
using Proxy.Transport;
using Proxy.Transport.Loops;

namespace Proxy.Tests.Transport;

/// <summary>The clients of hosts.</summary>
public enum UpstreamKind
{
    /// <summary>On a loop.</summary>
    Loops,

    /// <summary>On the runtime's sockets.</summary>
    Sockets,

    /// <summary>On the runtime's sockets, with TLS.</summary>
    Tls,
}

/// <summary>A client, a host and a clock that stands still until a test moves it.</summary>
internal sealed class UpstreamHarness : IDisposable
{
    /// <summary>The answer of a host that has little to say.</summary>
    public const string Hello = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

    private static readonly TestAuthority authority = new();
    private static readonly X509Certificate2 root = X509Certificate2.CreateFromPem(authority.Pem);

    /// <summary>For 127.0.0.1, by an authority that a client trusts where it is told to.</summary>
    public static readonly X509Certificate2 Certificate = authority.Issue();

    private readonly EventLoops? loops;

    /// <param name="set">Changes what the client knows of the host.</param>
    public UpstreamHarness(UpstreamKind kind, Uri? address = null, Func<UpstreamTarget, UpstreamTarget>? set = null)
    {
        Host = new(kind == UpstreamKind.Tls ? Certificate : null);
        Ticker = new(Time);
        if (kind == UpstreamKind.Loops) loops = new(1, Ticker, NullLogger.Instance);
        var target = new UpstreamTarget(address ?? Host.Address) { Authorities = [root] };
        Client = UpstreamClients.Create(set?.Invoke(target) ?? target, Ticker, loops);
    }

    public FakeHost Host { get; }
    public FakeTimeProvider Time { get; } = new();
    public CoarseTicker Ticker { get; }
    public UpstreamClient Client { get; }

    public static UpstreamRequest Post(string body = "{}") => new("POST", "/v1/x", new(Encoding.UTF8.GetBytes(body))) { ContentType = "application/json" };

    public static UpstreamRequest Get(string path = "/") => new("GET", path, default);

    /// <summary>One exchange on a new connection; the host's end of it, which the client may use again.</summary>
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

    /// <summary>One exchange on a connection that is idle.</summary>
    public async Task AnswerAsync(Peer peer, string answer)
    {
        using (var exchange = Client.Open()) await AnswerAsync(peer, answer, exchange, exchange.SendAsync(Post()));
        await SettleAsync();
    }

    /// <summary>A chunked answer that has just begun.</summary>
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

    /// <summary>What a loop was asked to do is done: it takes things in turn.</summary>
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
    /// <summary>Everything up to the first outcome that is not data, as text.</summary>
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
