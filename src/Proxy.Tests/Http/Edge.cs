using System.Net;
using System.Net.Sockets;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Logging;
using Proxy.Backends;
using Proxy.Composition;
using Proxy.Config;
using Proxy.Http;
using Proxy.Routes;
using Proxy.Streams;
using Proxy.Telemetry;
using Proxy.Tests.Backends;
using Proxy.Transport;

namespace Proxy.Tests.Http;

/// <summary>The HTTP edge on a real socket, in front of scripted hosts, with a clock that a test advances.</summary>
internal sealed class Edge : IAsyncDisposable
{
    private readonly MemoryStream log = new();
    private readonly Stack<IDisposable> owned = [];
    private readonly LogWriter writer;
    private readonly WebApplication app;

    private Edge(ProxyConfig config, bool local)
    {
        House = new House(config);
        writer = new LogWriter(log);
        Ticker = new CoarseTicker(House.Time);
        Gate = new ApiKeyGate(config, House.Time);
        var probe = new BackendProbe(House.Directory, House.Slots, static (_, _) => throw new NotSupportedException(), House.Log, House.Time);
        var catalog = new ModelCatalog(House.Directory, probe);
        Parts = new ExchangeParts(Gate, Calls, new CallLedger(writer, LogFormat.Text, Metrics, House.Time), Metrics, () => House.Directory.Table.Config.Server,
            House.Log, House.Time, Ticker, House.Directory.Identity,
            new CallSharing(new JournalTable(House.Time, static () => 64 << 20), static () => new(), Calls, House.Log, House.Time));
        var features = new PartsBuilder(config with { Inference = config.Inference with { Bundled = false } }, House.Directory, House.Slots, House.Dispatcher,
            catalog, new RemoteImages(), Parts, owned);
        foreach (var add in Proxy.Composition.Parts.Features) add(features);
        var endpoints = features.Build(new AdminEndpoints(House.Directory, catalog, Calls, static () => new([], []), null, static () => { }, House.Time));
        var builder = WebApplication.CreateSlimBuilder(new WebApplicationOptions { Args = ["--hostBuilder:reloadConfigOnChange=false"],
            ContentRootPath = AppContext.BaseDirectory });
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.Limits.MaxRequestBodySize = null;
            kestrel.Listen(IPAddress.Loopback, 0, options => options.Use(next => connection =>
            {
                connection.Features.Set(new ConnectionFeature(local, admin: false));
                return next(connection);
            }));
        });
        app = builder.Build();
        app.Run(endpoints.HandleAsync);
    }

    public House House { get; }
    public CoarseTicker Ticker { get; }
    public ApiKeyGate Gate { get; }
    public ActiveCalls Calls { get; } = new();
    public ProxyMetrics Metrics { get; } = new();
    public ExchangeParts Parts { get; }
    public Uri Address { get; private set; } = null!;
    public HttpClient Client { get; private set; } = null!;

    public static Task<Edge> StartAsync(params BackendConfig[] backends) => StartAsync(new ProxyConfig { Backends = backends });

    public static async Task<Edge> StartAsync(ProxyConfig config, bool local = true)
    {
        var edge = new Edge(config, local);
        await edge.app.StartAsync();
        edge.Address = new Uri(edge.app.Urls.First());
        edge.Client = new HttpClient { BaseAddress = edge.Address, Timeout = TimeSpan.FromSeconds(30) };
        return edge;
    }

    public async Task<(int Status, string Text, HttpResponseMessage Reply)> SendAsync(string method, string path, string? body = null, params string[] headers)
    {
        using var request = new HttpRequestMessage(new HttpMethod(method), path);
        if (body is not null) request.Content = new StringContent(body, Encoding.UTF8, "application/json");
        foreach (var header in headers)
        {
            var (name, value) = (header[..header.IndexOf(':', StringComparison.Ordinal)], header[(header.IndexOf(':', StringComparison.Ordinal) + 1)..].Trim());
            if (!request.Headers.TryAddWithoutValidation(name, value))
            {
                request.Content!.Headers.Remove(name);
                request.Content.Headers.TryAddWithoutValidation(name, value);
            }
        }

        var reply = await Client.SendAsync(request);
        return ((int)reply.StatusCode, await reply.Content.ReadAsStringAsync(), reply);
    }

    /// <summary>Sends exactly these bytes and returns everything that came back until the connection closed.</summary>
    public async Task<string> RawAsync(byte[] request)
    {
        using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(Address.Host, Address.Port);
        await socket.SendAsync(request);
        var (reply, buffer) = (new MemoryStream(), new byte[4096]);
        while (await socket.ReceiveAsync(buffer) is var read and > 0) reply.Write(buffer.AsSpan(0, read));
        return Encoding.UTF8.GetString(reply.ToArray());
    }

    /// <summary>The log lines of all calls so far. Closes the log.</summary>
    public string[] Log()
    {
        SpinWait.SpinUntil(() => Calls.Count == 0, TimeSpan.FromSeconds(10));
        writer.Dispose();
        return Encoding.UTF8.GetString(log.ToArray()).Split('\n', StringSplitOptions.RemoveEmptyEntries);
    }

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        await app.StopAsync();
        await app.DisposeAsync();
        while (owned.TryPop(out var last)) last.Dispose();
        Ticker.Dispose();
        writer.Dispose();
        House.Dispose();
    }
}
