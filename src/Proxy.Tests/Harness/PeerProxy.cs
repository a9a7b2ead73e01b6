using System.Net;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Time.Testing;
using Proxy.Composition;
using Proxy.Config;
using Proxy.Http;
using Proxy.Telemetry;

namespace Proxy.Tests.Harness;

/// <summary>
/// A real proxy in this process, except that its clock stands still and its probes run when the test starts them. Its address is known before its
/// configuration,
/// so several can be each other's backends.
/// </summary>
internal sealed class PeerProxy : IAsyncDisposable
{
    private readonly WebApplication app;
    private readonly LogWriter writer = new(new MemoryStream());
    private Parts? parts;

    private PeerProxy()
    {
        var builder = WebApplication.CreateSlimBuilder(
            new WebApplicationOptions { Args = ["--hostBuilder:reloadConfigOnChange=false"], ContentRootPath = AppContext.BaseDirectory });
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(static kestrel =>
        {
            kestrel.Limits.MaxRequestBodySize = null;
            kestrel.Listen(IPAddress.Loopback, 0, static options => options.Use(static next => connection =>
            {
                connection.Features.Set(new ConnectionFeature(local: true, admin: false));
                return next(connection);
            }));
        });
        app = builder.Build();
        app.Run(context => Parts.Endpoints.HandleAsync(context));
    }

    public Parts Parts => parts ?? throw new InvalidOperationException("the peer has no configuration yet");

    /// <summary>Its clock stands still until a test moves it.</summary>
    public FakeTimeProvider Time { get; } = new();

    public string Url => app.Urls.First();

    /// <summary>Its proxy id.</summary>
    public string Id => Parts.Directory.Identity.Id;

    /// <summary>Starts proxies that listen but have no configuration yet.</summary>
    public static async Task<PeerProxy[]> StartAsync(int count)
    {
        var peers = Enumerable.Range(0, count).Select(static _ => new PeerProxy()).ToArray();
        foreach (var peer in peers) await peer.app.StartAsync();
        return peers;
    }

    public PeerProxy Configure(string toml)
    {
        var result = ConfigReader.Read(toml, new ConfigSources());
        if (result.Config is not { } config) throw new InvalidOperationException(string.Join("; ", result.Problems));
        parts = new Parts(new LoadedConfig(null, config), writer, Time);
        return this;
    }

    /// <summary>Probes every host once, one after the other.</summary>
    public async Task ProbeAsync()
    {
        foreach (var backend in Parts.Directory.Table.All.Where(static backend => !backend.IsEcho))
            await Patience.For(Parts.Probe.AskAsync(backend, CancellationToken.None), "a probe");
    }

    public Task<RawReply> PostAsync(string path, string body, params string[] headers) =>
        RawClient.SendAsync(new Uri(Url), "POST", path, Encoding.UTF8.GetBytes(body), headers);

    public Task<RawReply> GetAsync(string path, params string[] headers) => RawClient.SendAsync(new Uri(Url), "GET", path, null, headers);

    /// <summary>The names in OpenAI's listing.</summary>
    public async Task<string[]> ModelsAsync(params string[] headers) =>
        [.. (await GetAsync("/v1/models", headers)).Json.GetProperty("data").EnumerateArray().Select(static model => model.GetProperty("id").GetString()!)];

    public async ValueTask DisposeAsync()
    {
        await app.StopAsync();
        await app.DisposeAsync();
        parts?.Dispose();
        writer.Dispose();
    }

    /// <summary>A section of the configuration for one backend.</summary>
    public static string Backend(string name, string url, string more = "") => $"""

        [[backends]]
        name = "{name}"
        url = "{url}"
        {more}

        """;

    /// <summary>Settings that keep the program's own models out of listings.</summary>
    public const string NoModels = "[inference]\nbundled = false\n";
}
