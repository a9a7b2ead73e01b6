using System.Text;

namespace Proxy.Tests.Harness;

/// <summary>
/// One proxy for many tests: it is started once with pairs of fake hosts, and each test takes a pair of its own,
/// so that no test meets a host that another one has broken.
/// </summary>
public abstract class FrontDoor : IAsyncLifetime
{
    private readonly List<Lane> lanes = [];
    private readonly List<FakeBackend> others = [];
    private ProxyProcess? proxy;
    private int taken;

    internal ProxyProcess Proxy => proxy!;

    internal Uri Address => Proxy.Address;

    /// <summary>How many tests of the class need a lane.</summary>
    protected abstract int Lanes { get; }

    /// <summary>Settings of every fake host; the time-outs of the contract, shortened where the class waits for them.</summary>
    protected virtual string HostSettings => """
        connect = "5s"
        first_token = "30s"
        idle = "30s"
        """;

    /// <summary>Lines of the [server] section beside <c>listen</c>.</summary>
    protected virtual string ServerSettings => "";

    /// <summary>What stands before the first section.</summary>
    protected virtual string Top => "";

    /// <summary>Sections after those of the lanes; hosts that <see cref="Host"/> starts may be named in it.</summary>
    protected virtual string Sections => "";

    /// <summary>The dialect that the lanes' hosts speak.</summary>
    protected virtual string Dialect => "openai";

    public async ValueTask InitializeAsync()
    {
        var config = new StringBuilder();
        var sections = Sections;
        config.AppendLine(Top).AppendLine(Server(ServerSettings)).AppendLine("[log]").AppendLine("level = \"info\"").AppendLine("format = \"json\"");
        for (var number = 0; number < Lanes; number++)
        {
            var lane = new Lane(this, number);
            lanes.Add(lane);
            config.AppendLine($$"""
                [[backends]]
                name = "a{{number}}"
                url = "{{lane.A.Url}}"
                dialects = ["{{Dialect}}"]
                prefixes = ["solo{{number}}-", "pair{{number}}-"]
                weight = 10
                {{HostSettings}}
                [[backends]]
                name = "b{{number}}"
                url = "{{lane.B.Url}}"
                dialects = ["{{Dialect}}"]
                prefixes = ["pair{{number}}-"]
                weight = 1
                {{HostSettings}}
                """);
        }

        config.AppendLine(sections);
        proxy = await ProxyProcess.StartAsync(config.ToString());
    }

    public async ValueTask DisposeAsync()
    {
        if (proxy is not null)
            await proxy.DisposeAsync();
        foreach (var lane in lanes)
            await lane.DisposeAsync();
        foreach (var host in others)
            await host.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    /// <summary>The [server] section for a port of the system's choice. PROXY_TEST_TRANSPORT names the transport under test.</summary>
    internal static string Server(string settings = "") => $"""
        [server]
        listen = ["127.0.0.1:0"]
        {(Environment.GetEnvironmentVariable("PROXY_TEST_TRANSPORT") is { Length: > 0 } transport ? $"transport = \"{transport}\"" : "")}
        {settings}
        """;

    internal Lane Take()
    {
        var number = Interlocked.Increment(ref taken) - 1;
        return number < lanes.Count ? lanes[number] : throw new InvalidOperationException($"{GetType().Name} has {lanes.Count} lanes and more tests");
    }

    internal Task<RawReply> PostAsync(string path, string body, params string[] headers) => RawClient.SendAsync(Address, "POST", path, Encoding.UTF8.GetBytes(body), headers);

    internal Task<RawReply> GetAsync(string path, params string[] headers) => RawClient.SendAsync(Address, "GET", path, null, headers);

    /// <summary>Starts a host that belongs to no lane; for use in <see cref="Sections"/>.</summary>
    private protected FakeBackend Host()
    {
        var host = FakeBackend.Start();
        others.Add(host);
        return host;
    }
}

/// <summary>Two fake hosts: model names that begin with <see cref="Solo"/> are served by A alone, with <see cref="Pair"/> by A first and then B.</summary>
internal sealed class Lane(FrontDoor door, int number) : IAsyncDisposable
{
    public FakeBackend A { get; } = FakeBackend.Start();

    public FakeBackend B { get; } = FakeBackend.Start();

    public string Solo { get; } = $"solo{number}-m";

    public string Pair { get; } = $"pair{number}-m";

    public string NameA { get; } = $"a{number}";

    public string NameB { get; } = $"b{number}";

    /// <summary>A chat call with a correlation id of its own.</summary>
    public async Task<(RawReply Reply, CallLine Line)> ChatAsync(string model, bool stream, string more = "", params string[] headers)
    {
        var correlation = Correlation();
        var reply = await door.PostAsync("/v1/chat/completions", OpenAi.Request(model, stream, more), [.. headers, $"x-correlation-id: {correlation}"]);
        return (reply, await door.Proxy.Log.CallAsync(correlation));
    }

    /// <summary>The same at <c>/api/chat</c>.</summary>
    public async Task<(RawReply Reply, CallLine Line)> OllamaChatAsync(string model, bool stream, string more = "", params string[] headers)
    {
        var correlation = Correlation();
        var reply = await door.PostAsync("/api/chat", Ollama.Request(model, stream, more), [.. headers, $"x-correlation-id: {correlation}"]);
        return (reply, await door.Proxy.Log.CallAsync(correlation));
    }

    public static string Correlation() => "test-" + Guid.NewGuid().ToString("N");

    public async ValueTask DisposeAsync()
    {
        await A.DisposeAsync();
        await B.DisposeAsync();
    }
}
