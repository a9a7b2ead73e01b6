using System.Text;
using System.Text.Json;
using Microsoft.Extensions.Logging.Abstractions;
using NATS.Client.Core;
using Proxy.Config;
using Proxy.Nats;
using Proxy.Tests.Harness;
using Proxy.Workflows;

namespace Proxy.Tests.Nats;

/// <summary>The proxy's half of NATS in this process, with a real server, and a worker's connection beside it. The proxy's can be cut.</summary>
internal sealed class BusHouse : IAsyncDisposable
{
    private readonly List<PipelineConfig> pipelines;
    private readonly CutWire wire;
    private readonly bool ownsServer;

    private BusHouse(NatsServer server, bool ownsServer, string prefix, bool sharesJournals, IEnumerable<PipelineConfig> pipelines)
    {
        (Server, this.ownsServer, this.pipelines) = (server, ownsServer, [.. pipelines]);
        wire = new CutWire(server.Port);
        Worker = new NatsConnection(new NatsOpts { Url = server.Url, RequestTimeout = TimeSpan.FromSeconds(10) });
        Parts = new NatsParts(
            new NatsConfig { Url = $"nats://127.0.0.1:{wire.Port}", Prefix = prefix }, () => this.pipelines, sharesJournals, NullLogger.Instance,
            TimeProvider.System);
        Bus = new WorkflowBus(Parts);
    }

    public NatsServer Server { get; }

    public NatsParts Parts { get; }

    public WorkflowBus Bus { get; }

    /// <summary>A worker's connection, which is not cut.</summary>
    public NatsConnection Worker { get; }

    /// <param name="server">Where it connects to.</param>
    /// <param name="ownsServer">The server is disposed with it.</param>
    /// <param name="prefix">Of the subjects.</param>
    /// <param name="sharesJournals">Journals are kept there too.</param>
    /// <param name="pipelines">The configuration's.</param>
    public static async Task<BusHouse> StartAsync(
        NatsServer server, bool ownsServer = true, string prefix = "", bool sharesJournals = false, params PipelineConfig[] pipelines)
    {
        var house = new BusHouse(server, ownsServer, prefix, sharesJournals, pipelines);
        await house.Worker.ConnectAsync();
        await house.Parts.Link.ConnectAsync();
        await Patience.For(house.Parts.Streams.Looked, "the proxy has looked for its streams");
        return house;
    }

    public static PipelineConfig Queue(string name, TimeSpan? launchTimeout = null) =>
        new() { Name = name, Launcher = "jetstream", LaunchTimeout = launchTimeout ?? TimeSpan.FromSeconds(60) };

    /// <summary>A job with a document like the proxy's.</summary>
    public static Job Job(PipelineConfig pipeline, string trace, string text = "hello", TimeSpan? left = null)
    {
        var deadline = DateTimeOffset.UtcNow + (left ?? TimeSpan.FromMinutes(10));
        var document = $$"""
            {"trace_id":"{{trace}}","attempt":1,"correlation_id":"{{trace}}","owner":"anonymous","pipeline":"{{pipeline.Name}}","model":"m",
            "messages":[{"role":"user","content":"{{text}}"}],"params":{"temperature":0.5},"reply":"evt.chat.{{trace}}","control":"ctl.chat.{{trace}}",
            "deadline":"{{deadline:O}}"}
            """;
        return new Job(pipeline, trace, Encoding.UTF8.GetBytes(document), deadline);
    }

    public static string Trace() => string.Concat(Guid.NewGuid().ToString("N").ToUpperInvariant().Replace('I', '1').Replace('L', '1').Take(26));

    public void Add(PipelineConfig pipeline) => pipelines.Add(pipeline);

    /// <summary>Ends the proxy's connection and lets it make no new one.</summary>
    public async Task CutAsync()
    {
        wire.Cut();
        await Patience.Until(() => Task.FromResult(!Parts.Link.IsUp), "the proxy has noticed that its connection is lost");
    }

    public async Task MendAsync()
    {
        wire.Mend();
        await Patience.Until(() => Task.FromResult(Parts.Link.IsUp), "the proxy is connected again");
    }

    /// <summary>Publishes events as a worker does that waits for JetStream.</summary>
    public async Task PublishAsync(string subject, int first, int last)
    {
        for (var seq = first; seq <= last; seq++)
        {
            var reply = await Worker.RequestAsync<byte[], byte[]>(subject, Event(seq), new NatsHeaders { ["Nats-Msg-Id"] = $"{subject}/{seq}" });
            Assert.False(JsonElement.Parse(reply.Data).TryGetProperty("error", out var error), error.ToString());
        }
    }

    public static byte[] Event(int seq) => Encoding.UTF8.GetBytes($$"""{"type":"token","text":"{{seq}} ","seq":{{seq}}}""");

    /// <summary>Reads messages of a feed until it has that many.</summary>
    public static async Task<List<int>> ReadAsync(IAsyncEnumerator<ReadOnlyMemory<byte>> feed, int count)
    {
        var read = new List<int>();
        while (read.Count < count)
        {
            Assert.True(await Patience.For(feed.MoveNextAsync().AsTask(), $"event {read.Count + 1}"), "the feed ended");
            read.Add(JsonElement.Parse(feed.Current.Span).GetProperty("seq").GetInt32());
        }

        return read;
    }

    public Task<JsonElement> AskAsync(string what, string body = "") => NatsOutageTests.AskAsync(Server, what, body);

    /// <summary>Pulls a job, as a worker does. Null: there is none.</summary>
    public Task<PulledJob?> PullAsync(string consumer, double seconds = 10) => PulledJob.TakeAsync(Worker, consumer, seconds);

    public async ValueTask DisposeAsync()
    {
        Parts.Dispose();
        wire.Dispose();
        await Worker.DisposeAsync();
        if (ownsServer) await Server.DisposeAsync();
    }
}
