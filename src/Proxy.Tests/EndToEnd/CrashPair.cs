using System.Globalization;
using System.Text;
using System.Text.Json;
using NATS.Client.Core;
using Proxy.Config;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>Two proxies with one shared journal, their host and NATS, each a process that can be killed and started again.</summary>
internal sealed class CrashPair : IAsyncDisposable
{
    public const string Key = "Bearer ann-secret";

    private readonly ProxyProcess?[] proxies = new ProxyProcess?[2];
    private readonly int[] deaths = new int[2];

    private CrashPair(NatsServer nats) => Nats = nats;

    public SlowHost Host { get; } = new();

    public NatsServer Nats { get; }

    public static async Task<CrashPair> StartAsync()
    {
        await SlowHost.NeedsPythonAsync();
        var pair = new CrashPair(await NatsServer.StartAsync());
        try
        {
            await pair.Host.StartAgainAsync();
            for (var i = 0; i < pair.proxies.Length; i++) await pair.StartProxyAsync(i);
            return pair;
        }
        catch
        {
            await pair.DisposeAsync();
            throw;
        }
    }

    public ProxyProcess Proxy(int which) => proxies[which]!;

    /// <summary>How often a proxy was killed.</summary>
    public int Deaths(int which) => Volatile.Read(ref deaths[which]);

    public Task KillProxyAsync(int which)
    {
        Interlocked.Increment(ref deaths[which]);
        return Proxy(which).KillAsync();
    }

    public async Task StartProxyAsync(int which)
    {
        if (proxies[which] is { } before) await before.DisposeAsync();
        proxies[which] = await ProxyProcess.StartAsync($"""
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
            sha256 = "{ApiKeyConfig.Digest(Key["Bearer ".Length..])}"
            [streams]
            journal = "jetstream"
            [nats]
            url = "{Nats.Url}"
            """);
    }

    /// <summary>Waits until both proxies have NATS and the host.</summary>
    public async Task RecoverAsync(string canary)
    {
        for (var i = 0; i < proxies.Length; i++)
        {
            var (proxy, name) = (Proxy(i), $"{canary}-{i}");
            await Patience.Until(async () => await MetricAsync(proxy, "proxy_nats_up") == 1 && await CallAsync(proxy, name) == 200, "calls succeed again");
        }

        static async Task<int> CallAsync(ProxyProcess proxy, string name) => (await RawClient.SendAsync(proxy.Address, "POST", StreamHouse.Chat,
            Encoding.UTF8.GetBytes(OpenAi.Request("served", text: SlowHost.Order(name, 6, 1))), $"Authorization: {Key}")).Status;
    }

    /// <summary>What NATS has of an answer: its frames, and whether its end is there. Read without the code under test.</summary>
    public async Task<(int Messages, string Frames, bool HasEnd)> JournaledAsync(string traceId)
    {
        await using var connection = new NatsConnection(new NatsOpts { Url = Nats.Url });
        var (messages, frames, hasEnd, next) = (0, new MemoryStream(), false, 1L);
        while (true)
        {
            var question = $$"""{"seq":{{next}},"next_by_subj":"jrn.chat.{{traceId}}"}""";
            var reply = await connection.RequestAsync<byte[], byte[]>("$JS.API.STREAM.MSG.GET.PROXY_JOURNAL", Encoding.UTF8.GetBytes(question));
            var answer = JsonElement.Parse(reply.Data!);
            if (!answer.TryGetProperty("message", out var message))
            {
                Assert.Equal(404, answer.GetProperty("error").GetProperty("code").GetInt32());
                return (messages, Encoding.UTF8.GetString(frames.ToArray()), hasEnd);
            }

            messages++;
            next = message.GetProperty("seq").GetInt64() + 1;
            var headers = Encoding.ASCII.GetString(message.GetProperty("hdrs").GetBytesFromBase64());
            hasEnd = headers.Contains("Proxy-Kind: end", StringComparison.OrdinalIgnoreCase);
            if (headers.Contains("Proxy-Kind: frames", StringComparison.OrdinalIgnoreCase)) frames.Write(message.GetProperty("data").GetBytesFromBase64());
        }
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var proxy in proxies.OfType<ProxyProcess>()) await proxy.DisposeAsync();
        await Host.DisposeAsync();
        await Nats.DisposeAsync();
    }

    private static async Task<long> MetricAsync(ProxyProcess proxy, string name)
    {
        var text = (await RawClient.SendAsync(proxy.Address, "GET", "/metrics")).Text;
        return long.Parse(text.Split('\n').Single(line => line.StartsWith(name + " ", StringComparison.Ordinal)).Split(' ')[1], CultureInfo.InvariantCulture);
    }
}
