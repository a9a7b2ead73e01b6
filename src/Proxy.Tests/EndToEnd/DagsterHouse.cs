using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>A real Dagster, a NATS server and a proxy whose pipelines are Dagster's jobs. One for the class, started by the first test that needs it.</summary>
public sealed class DagsterHouse : IAsyncDisposable
{
    private readonly SemaphoreSlim gate = new(1);
    private NatsServer? nats;
    private DagsterBox? box;
    private ProxyProcess? proxy;

    internal NatsServer Nats => nats!;

    internal DagsterBox Box => box!;

    internal ProxyProcess Proxy => proxy!;

    internal async Task StartAsync()
    {
        await gate.WaitAsync();
        try
        {
            if (proxy is not null) return;
            nats = await NatsServer.StartAsync();
            box = await DagsterBox.StartAsync(nats.Url, isQueued: false, DagsterBox.Example, DagsterBox.Jobs);
            proxy = await ProxyProcess.StartAsync(Config(nats, box));
            await proxy.Log.EventAsync("nats_up");
        }
        finally
        {
            gate.Release();
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (proxy is not null) await proxy.DisposeAsync();
        if (box is not null) await box.DisposeAsync();
        if (nats is not null) await nats.DisposeAsync();
        gate.Dispose();
    }

    /// <summary>A pipeline for each job of the tests, by the job's name, and the example.</summary>
    internal static string Config(NatsServer nats, DagsterBox box) => $"""
        {FrontDoor.Server()}

        [log]
        format = "json"

        [nats]
        url = "{nats.Url}"

        {Pipeline("research", box.Url, "research", "location = \"definitions.py\"\npresent = \"winner\"")}
        {Pipeline("doubtful", box.Url, "research")}
        {Pipeline("unreached", $"http://127.0.0.1:{ServerTree.FreePort()}", "research")}
        {string.Join('\n', new[] { "speaking", "silent", "failing", "telling", "endless", "demanding", "without_resource", "lost" }
            .Select(job => Pipeline(job, box.Url, job)))}
        """;

    internal static string Pipeline(string name, string url, string job, string more = "") => $"""

        [[pipelines]]
        name = "{name}"
        launcher = "dagster"
        url = "{url}"
        job = "{job}"
        {more}
        """;
}
