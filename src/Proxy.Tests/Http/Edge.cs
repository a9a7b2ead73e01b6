using System.Net;
using System.Net.Sockets;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Logging;
using Proxy.Backends;
using Proxy.Config;
using Proxy.Dialects.Anthropic;
using Proxy.Dialects.OllamaChat;
using Proxy.Dialects.OpenAiChat;
using Proxy.Dialects.OpenAiResponses;
using Proxy.Http;
using Proxy.Routes;
using Proxy.Telemetry;
using Proxy.Tests.Backends;
using Proxy.Transport;
using Proxy.VectorRoutes;

namespace Proxy.Tests.Http;

/// <summary>The HTTP edge on a real socket, in front of scripted hosts, with a clock that a test advances.</summary>
internal sealed class Edge : IAsyncDisposable
{
    private readonly MemoryStream log = new();
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
            House.Log, House.Time, Ticker, House.Directory.Identity);
        var prefixes = new PromptPrefixes(new ProxyMetrics());
        var routes = new RouteTable([new DirectRoute(House.Directory, House.Dispatcher, new RemoteImages(), prefixes, House.Log, House.Time)]);
        var (openAi, ollama, anthropic) = (new OpenAiChatClientDialect(), new OllamaChatClientDialect(), new AnthropicClientDialect());
        var endpoints = new Endpoints(
            new ChatExchange("/v1/chat/completions", openAi, routes, Parts).HandleAsync,
            new ChatExchange("/v1/completions", openAi, routes, Parts).HandleAsync,
            new ChatExchange("/v1/responses", new OpenAiResponsesClientDialect(), routes, Parts).HandleAsync,
            new CountExchange("/v1/responses/input_tokens", new OpenAiResponsesClientDialect(), OpenAiResponsesJson.WriteCount, new TokenCount(House.Directory),
                Parts).HandleAsync,
            new ChatExchange("/api/chat", ollama, routes, Parts).HandleAsync,
            new ChatExchange("/api/generate", ollama, routes, Parts).HandleAsync,
            new ChatExchange("/v1/messages", anthropic, routes, Parts).HandleAsync,
            new CountExchange("/v1/messages/count_tokens", new AnthropicClientDialect(counts: true), AnthropicCount.Write, new TokenCount(House.Directory),
                Parts).HandleAsync,
            new ModelExchange(openAi, new OpenAiChatBackendDialect(), new ModelRelay(House.Directory, House.Dispatcher), Parts).HandleAsync,
            new VectorEndpoints(new VectorParts(new VectorHosts(House.Directory, House.Dispatcher, new OpenAiChatBackendDialect(), House.Log), Parts, "0")),
            new ModelEndpoints(catalog, openAi, ollama, anthropic, Parts, "0"),
            new OllamaHostEndpoints(catalog, House.Directory, House.Dispatcher, ollama, new OllamaChatBackendDialect(), Parts),
            new StatusEndpoints(House.Directory, Calls, Metrics, Gate),
            new AdminEndpoints(House.Directory, catalog, Calls, static () => new([], []), null, static () => { }, House.Time),
            new ErrorEndpoints(openAi, ollama, anthropic, Parts),
            Gate);
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
        Ticker.Dispose();
        writer.Dispose();
        House.Dispose();
    }
}
