using System.Text;
using Proxy.Tests.EndToEnd;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Nats;

/// <summary>Two proxies with one nats-server and one host, whose answers the test sends piece by piece.</summary>
internal sealed class JournalHouse : IAsyncDisposable
{
    public const string Ann = "Authorization: Bearer ann-secret", Bob = "Authorization: Bearer bob-secret", Resume = "x-resume: 1";

    private readonly string streams;

    private JournalHouse(NatsServer server, FakeBackend host, string streams) => (Server, Host, this.streams) = (server, host, streams);

    public NatsServer Server { get; }

    public FakeBackend Host { get; }

    public ProxyProcess A { get; private set; } = null!;

    public ProxyProcess B { get; private set; } = null!;

    /// <param name="release">Which nats-server.</param>
    /// <param name="streams">More lines of <c>[streams]</c>.</param>
    /// <param name="jetStream">Whether the server has JetStream.</param>
    /// <param name="nats">More lines of the server's configuration.</param>
    public static async Task<JournalHouse> StartAsync(
        string release = ServerTree.Usual, string streams = "", bool jetStream = true, string nats = "")
    {
        var house = new JournalHouse(await NatsServer.StartAsync(release, nats, jetStream), FakeBackend.Start(), streams);
        house.A = await house.StartProxyAsync(jetStream);
        house.B = await house.StartProxyAsync(jetStream);
        return house;
    }

    /// <summary>Starts the first proxy again after its end.</summary>
    public async Task StartAgainAsync()
    {
        await A.DisposeAsync();
        A = await StartProxyAsync(waits: true);
    }

    public ScriptedAnswer Expect(string contentType = OpenAi.Sse)
    {
        var answer = new ScriptedAnswer();
        Host.Once(exchange => answer.RunAsync(exchange, contentType));
        return answer;
    }

    public static async Task<RawClient> CallAsync(ProxyProcess proxy, string path, string body, params string[] headers)
    {
        var client = await RawClient.ConnectAsync(proxy.Address);
        await client.RequestAsync("POST", path, Encoding.UTF8.GetBytes(body), WithKey(headers));
        return client;
    }

    public static Task<RawReply> PostAsync(ProxyProcess proxy, string path, string body, params string[] headers) =>
        RawClient.SendAsync(proxy.Address, "POST", path, Encoding.UTF8.GetBytes(body), WithKey(headers));

    public static Task<RawReply> GetAsync(ProxyProcess proxy, string path, params string[] headers) =>
        RawClient.SendAsync(proxy.Address, "GET", path, null, WithKey(headers));

    public static Task<RawReply> DeleteAsync(ProxyProcess proxy, string path, params string[] headers) =>
        RawClient.SendAsync(proxy.Address, "DELETE", path, null, WithKey(headers));

    public async ValueTask DisposeAsync()
    {
        await A.DisposeAsync();
        await B.DisposeAsync();
        await Host.DisposeAsync();
        await Server.DisposeAsync();
    }

    private static string[] WithKey(string[] headers) =>
        headers.Any(static header => header.StartsWith("Authorization", StringComparison.Ordinal)) ? headers : [.. headers, Ann];

    private async Task<ProxyProcess> StartProxyAsync(bool waits)
    {
        var proxy = await ProxyProcess.StartAsync($"""
            {FrontDoor.Server()}
            [inference]
            bundled = false
            [log]
            format = "json"
            [[backends]]
            name = "a"
            url = "{Host.Url}"
            dialects = ["openai"]
            models = ["served"]
            [[auth.keys]]
            name = "ann"
            sha256 = "{Proxy.Config.ApiKeyConfig.Digest("ann-secret")}"
            [[auth.keys]]
            name = "bob"
            sha256 = "{Proxy.Config.ApiKeyConfig.Digest("bob-secret")}"
            [streams]
            journal = "jetstream"
            {streams}
            [nats]
            url = "{Server.Url}"
            prefix = "p1"
            """);
        if (!waits) return proxy;
        await proxy.Log.EventAsync("nats_up");
        await Patience.Until(async () => await NatsOutageTests.CountAsync(Server, "PROXY_JOURNAL_p1") >= 0, "the journal's stream is there");
        return proxy;
    }
}
