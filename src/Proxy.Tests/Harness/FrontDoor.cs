using System.Text;

namespace Proxy.Tests.Harness;

/// <summary>
/// One proxy for many tests. It is started once with pairs of fake hosts, and each test takes a pair of its own, so that no test gets a host that another test
/// has broken.
/// </summary>
public abstract class FrontDoor : IAsyncLifetime
{
    private readonly List<Lane> lanes = [];
    private readonly List<FakeBackend> others = [];
    private ProxyProcess? proxy;
    private int taken;
    private int takenOllama;

    internal ProxyProcess Proxy => proxy!;

    internal Uri Address => Proxy.Address;

    /// <summary>How many tests of the class need a pair of OpenAI hosts.</summary>
    protected virtual int Lanes => 0;

    /// <summary>How many tests of the class need a pair of Ollama hosts.</summary>
    protected virtual int OllamaLanes => 0;

    /// <summary>Settings of every fake host. The time-outs are longer than a test may take; a class that tests one of them shortens it.</summary>
    protected virtual string HostSettings => """
        connect = "60s"
        first_token = "120s"
        idle = "120s"
        """;

    /// <summary>Settings of the first host of each pair, where they differ from the second one's.</summary>
    protected virtual string FirstHostSettings => HostSettings;

    /// <summary>Lines of the [server] section beside <c>listen</c>.</summary>
    protected virtual string ServerSettings => "";

    /// <summary>How the proxy serves its connections: <c>epoll</c> or <c>sockets</c>. If the class does not set it, PROXY_TEST_TRANSPORT does.</summary>
    protected virtual string? Transport => null;

    /// <summary>Lines before the first section.</summary>
    protected virtual string Top => "";

    /// <summary>Sections after those of the lanes; <see cref="Host"/> starts a host for them.</summary>
    protected virtual string Sections() => "";

    public async ValueTask InitializeAsync()
    {
        var config = new StringBuilder();
        config.AppendLine(Top).AppendLine(Server(ServerSettings, Transport)).AppendLine("[log]").AppendLine("format = \"json\"");
        for (var number = 0; number < Lanes + OllamaLanes; number++)
        {
            var lane = new Lane(this, number);
            lanes.Add(lane);
            var dialect = number < Lanes ? "openai" : "ollama";
            config.AppendLine($"""
                [[backends]]
                name = "a{number}"
                url = "{lane.A.Url}"
                dialects = ["{dialect}"]
                prefixes = ["solo{number}-", "pair{number}-"]
                weight = 1000
                {FirstHostSettings}
                [[backends]]
                name = "b{number}"
                url = "{lane.B.Url}"
                dialects = ["{dialect}"]
                prefixes = ["pair{number}-"]
                {HostSettings}
                """);
        }

        config.AppendLine(Sections());
        proxy = await ProxyProcess.StartAsync(config.ToString());
        // The proxy must have seen every host healthy before a test breaks it.
        await Patience.Until(() => Task.FromResult(lanes.TrueForAll(lane => lane.A.Probes.Count > 0 && lane.B.Probes.Count > 0)), "every host was probed once");
    }

    public virtual async ValueTask DisposeAsync()
    {
        if (proxy is not null)
            await proxy.DisposeAsync();
        foreach (var lane in lanes)
            await lane.DisposeAsync();
        foreach (var host in others)
            await host.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    /// <summary>The [server] section with a free port. PROXY_TEST_TRANSPORT sets the transport under test.</summary>
    internal static string Server(string settings = "", string? transport = null) => $"""
        [server]
        listen = ["127.0.0.1:0"]
        {((transport ?? Environment.GetEnvironmentVariable("PROXY_TEST_TRANSPORT")) is { Length: > 0 } named ? $"transport = \"{named}\"" : "")}
        {settings}
        """;

    /// <summary>A pair of OpenAI hosts that no other test uses.</summary>
    internal Lane Take() => Take(Interlocked.Increment(ref taken) - 1, Lanes, 0);

    /// <summary>A pair of Ollama hosts that no other test uses.</summary>
    internal Lane TakeOllama() => Take(Interlocked.Increment(ref takenOllama) - 1, OllamaLanes, Lanes);

    internal Task<RawReply> PostAsync(string path, string body, params string[] headers) =>
        RawClient.SendAsync(Address, "POST", path, Encoding.UTF8.GetBytes(body), headers);

    internal Task<RawReply> GetAsync(string path, params string[] headers) => RawClient.SendAsync(Address, "GET", path, null, headers);

    /// <summary>Makes a call and finds its log line by a correlation id of its own.</summary>
    internal async Task<(RawReply Reply, CallLine Line)> CallAsync(string path, string body, params string[] headers)
    {
        var correlation = Correlation();
        var reply = await PostAsync(path, body, [.. headers, $"x-correlation-id: {correlation}"]);
        return (reply, await Proxy.Log.CallAsync(correlation));
    }

    internal Task<(RawReply Reply, CallLine Line)> ChatAsync(string model, bool stream, string more = "", params string[] headers) =>
        CallAsync("/v1/chat/completions", OpenAi.Request(model, stream, more), headers);

    internal Task<(RawReply Reply, CallLine Line)> OllamaChatAsync(string model, bool stream, string more = "", params string[] headers) =>
        CallAsync("/api/chat", Ollama.Request(model, stream, more), headers);

    internal static string Correlation() => "test-" + Guid.NewGuid().ToString("N");

    /// <summary>Starts a host that belongs to no lane; for use in <see cref="Sections"/>.</summary>
    private protected FakeBackend Host()
    {
        var host = FakeBackend.Start();
        others.Add(host);
        return host;
    }

    private Lane Take(int number, int count, int first) =>
        number < count ? lanes[first + number] : throw new InvalidOperationException($"{GetType().Name} has {count} lanes of this kind and more tests");
}

/// <summary>Two fake hosts. A alone serves model names that begin with <see cref="Solo"/>; A, then B, serve those that begin with <see cref="Pair"/>.</summary>
internal sealed class Lane(FrontDoor door, int number) : IAsyncDisposable
{
    public FakeBackend A { get; } = FakeBackend.Start();

    public FakeBackend B { get; } = FakeBackend.Start();

    public string Solo { get; } = $"solo{number}-m";

    public string Pair { get; } = $"pair{number}-m";

    public string NameA { get; } = $"a{number}";

    public string NameB { get; } = $"b{number}";

    public Task<(RawReply Reply, CallLine Line)> ChatAsync(string model, bool stream) => door.ChatAsync(model, stream);

    public Task<(RawReply Reply, CallLine Line)> OllamaChatAsync(string model, bool stream) => door.OllamaChatAsync(model, stream);

    public async ValueTask DisposeAsync()
    {
        await A.DisposeAsync();
        await B.DisposeAsync();
    }
}
