using System.Collections.Concurrent;
using Proxy.Backends;
using Proxy.Chat;
using Proxy.Config;
using Proxy.Dialects;
using Proxy.Dialects.Anthropic;
using Proxy.Dialects.OllamaChat;
using Proxy.Dialects.OllamaGenerate;
using Proxy.Dialects.OpenAiChat;
using Proxy.Dialects.OpenAiCompletions;
using Proxy.Dialects.OpenAiResponses;
using Proxy.Http;
using Proxy.Inference;
using Proxy.Routes;
using Proxy.Streams;
using Proxy.Telemetry;
using Proxy.Transport;
using Proxy.Transport.Loops;
using Proxy.VectorRoutes;

namespace Proxy.Composition;

/// <summary>Everything that runs, made by hand in reading order. What owns something is disposed in the opposite order.</summary>
internal sealed class Parts : IDisposable
{
    private readonly ConcurrentDictionary<Backend, HttpMessageInvoker> probes = new();
    private readonly LoadedConfig loaded;
    private readonly LogWriter writer;
    private readonly RemoteImages images;
    private readonly MemoryTrimmer trimmer;
    private readonly Lock reloading = new();

    /// <param name="follow">Who follows the answer to a call besides its client; null: no follower.</param>
    /// <param name="earlier">The routes that are asked before the direct one, to which they may hand on a call.</param>
    public Parts(LoadedConfig loaded, LogWriter writer, TimeProvider time, Func<IChatRoute, IEnumerable<IChatRoute>>? earlier = null, Func<CallInfo, Followers>? follow = null)
    {
        this.loaded = loaded;
        Time = time;
        var config = loaded.Config;

        // Telemetry
        Format = config.Log.Format == "json" ? LogFormat.Json : LogFormat.Text;
        this.writer = writer;
        writer.Format = Format;
        writer.Least = Least(config.Log);
        LoggerProvider = new ProxyLoggerProvider(writer, Format, time);
        Metrics = new ProxyMetrics();
        Log = LoggerProvider.CreateLogger("Proxy");

        // Backends
        Ticker = new CoarseTicker(time);
        trimmer = new MemoryTrimmer(time);
        if (config.Server.Transport == "epoll") Loops = new EventLoops(Environment.ProcessorCount, Ticker, Log);
        Directory = new BackendDirectory(config, target => UpstreamClients.Create(target, Ticker, Loops), DialectTable.Backend, time);
        var slots = new SlotQueue(time);
        Directory.Changed = slots.Recheck;
        Probe = new BackendProbe(Directory, slots, AskAsync, Log, time);
        var dispatcher = new BackendDispatcher(Directory, slots, Log, time);
        Metrics.Lists = model => Directory.Table.Lists(model);
        Metrics.Add(() => Gauges(Directory, slots));

        // Inference
        Models = new LocalModels(config.Inference, Log);
        Directory.Embedders = Models.Table;
        Metrics.Add(() => Gauges(Models));

        // Routes
        images = new RemoteImages();
        var direct = new DirectRoute(Directory, dispatcher, images, new PromptPrefixes(Metrics), Log, time);
        var routes = new RouteTable([.. earlier?.Invoke(direct) ?? [], direct]);
        var relay = new ModelRelay(Directory, dispatcher);
        var vectors = new VectorHosts(Directory, dispatcher, new OpenAiChatBackendDialect(), Log);

        // The edge
        Gate = new ApiKeyGate(config, time);
        Calls = new ActiveCalls();
        var catalog = new ModelCatalog(Directory, Probe);
        var exchange = new ExchangeParts(Gate, Calls, new CallLedger(writer, Format, Metrics, time), Metrics, () => Directory.Table.Config.Server, Log, time, Ticker, Directory.Identity) { Follow = follow ?? (static _ => Followers.None) };
        var openAi = new OpenAiChatClientDialect();
        var ollama = new OllamaChatClientDialect();
        var anthropic = new AnthropicClientDialect();
        var responses = new OpenAiResponsesClientDialect();
        var count = new TokenCount(Directory);
        Endpoints = new Endpoints(
            new ChatExchange("/v1/chat/completions", openAi, routes, exchange).HandleAsync,
            new ChatExchange("/v1/completions", new OpenAiCompletionsClientDialect(), routes, exchange).HandleAsync,
            new ChatExchange("/v1/responses", responses, routes, exchange).HandleAsync,
            new CountExchange("/v1/responses/input_tokens", responses, OpenAiResponsesJson.WriteCount, count, exchange).HandleAsync,
            new ChatExchange("/api/chat", ollama, routes, exchange).HandleAsync,
            new ChatExchange("/api/generate", new OllamaGenerateClientDialect(), routes, exchange).HandleAsync,
            new ChatExchange("/v1/messages", anthropic, routes, exchange).HandleAsync,
            new CountExchange("/v1/messages/count_tokens", new AnthropicClientDialect(counts: true), AnthropicCount.Write, count, exchange).HandleAsync,
            new ModelExchange(openAi, new OpenAiChatBackendDialect(), relay, exchange).HandleAsync,
            new VectorEndpoints(new VectorParts(vectors, exchange, ProxyHost.Version)),
            new ModelEndpoints(catalog, openAi, ollama, anthropic, exchange, ProxyHost.Version),
            new OllamaHostEndpoints(catalog, Directory, dispatcher, ollama, new OllamaChatBackendDialect(), exchange),
            new StatusEndpoints(Directory, Calls, Metrics, Gate, () => Models.AreReady),
            new AdminEndpoints(Directory, catalog, Calls, Reload, loaded.Path, () => Drain?.Invoke(), time),
            new ErrorEndpoints(openAi, ollama, anthropic, exchange),
            Gate);
    }

    public TimeProvider Time { get; }
    public LogFormat Format { get; }
    public ProxyLoggerProvider LoggerProvider { get; }
    public ILogger Log { get; }
    public ProxyMetrics Metrics { get; }
    public CoarseTicker Ticker { get; }

    /// <summary>Where clients and hosts meet, unless <c>[server] transport = "sockets"</c>.</summary>
    public EventLoops? Loops { get; }

    public BackendDirectory Directory { get; }
    public BackendProbe Probe { get; }

    /// <summary>The models of this process.</summary>
    public LocalModels Models { get; }

    public ApiKeyGate Gate { get; }
    public ActiveCalls Calls { get; }
    public Endpoints Endpoints { get; }

    /// <summary>What the operator's wish to drain does; the host sets it.</summary>
    public Action? Drain { get; set; }

    /// <summary>Told after a reload.</summary>
    public Action? Reloaded { get; set; }

    /// <summary>Another process bound what we serve: <c>[server] listen</c> says nothing to this one.</summary>
    public bool HasInheritedSockets { get; set; }

    /// <summary>Reads the file again and makes it the current configuration, or keeps the old one and returns every problem. What only a start can change is named as long as the file says something else than what runs.</summary>
    public ReloadOutcome Reload()
    {
        lock (reloading)
        {
            var result = loaded.Reread();
            if (result.Config is not { } next)
            {
                Log.ReloadRefused(string.Join("; ", result.Problems.Select(p => p.In(loaded.Path ?? "the environment"))));
                return new(result.Problems, []);
            }

            List<string> late = [.. NeedsRestart(loaded.Config, next)];
            foreach (var section in late) Log.NeedsRestart(section);
            writer.Least = Least(next.Log);
            Directory.Apply(next);
            Gate.Apply(next);
            foreach (var gone in probes.Keys.Except(Directory.Table.All))
            {
                if (probes.TryRemove(gone, out var probe)) probe.Dispose();
            }

            Reloaded?.Invoke();
            Log.Reloaded(next.Backends.Count, next.Auth.Keys.Count);
            return new([], late);
        }
    }

    public void Dispose()
    {
        Directory.Dispose();
        images.Dispose();
        Models.Dispose();
        foreach (var probe in probes.Values) probe.Dispose();
        Loops?.Dispose();
        trimmer.Dispose();
        Ticker.Dispose();
        LoggerProvider.Dispose();
    }

    private async Task<HostReport> AskAsync(Backend backend, CancellationToken cancellation)
    {
        var http = probes.GetOrAdd(backend, static (b, time) => HostHttp.Create(BackendDirectory.Target(b.Config), time), Time);
        var before = backend.State is { Report: { } last, Health: var health } && (health is BackendHealth.Up || last.IsSelf) ? last : null;
        var report = await HostProbe.AskAsync(backend.Config, http, before, cancellation, Directory.Identity);
        // Another proxy's own copy of a model of this process is no reason to go there for it.
        return report.ProxyId is null ? report : report with { Models = [.. report.Models.Where(model => model.Told is not { End: ModelEnd.Process } || Directory.Embedders.Find(model.Name) is null)] };
    }

    /// <summary>What a reload cannot change and the file has otherwise than what was started with, which is what runs.</summary>
    private IEnumerable<string> NeedsRestart(ProxyConfig running, ProxyConfig next)
    {
        if (!HasInheritedSockets && !running.Server.Listen.SequenceEqual(next.Server.Listen)) yield return "[server] listen";
        if (running.Server.Transport != next.Server.Transport) yield return "[server] transport";
        if (running.Server.Tls is null != next.Server.Tls is null) yield return "[server.tls]";
        if (running.Inference with { Models = [] } != next.Inference with { Models = [] }) yield return "[inference]";
        if (!running.Inference.Models.SequenceEqual(next.Inference.Models)) yield return "[[inference.models]]";
        if (running.Log.Format != next.Log.Format) yield return "[log] format";
    }

    private static LogLevel Least(LogConfig log) => log.Level switch
    {
        "trace" => LogLevel.Trace,
        "debug" => LogLevel.Debug,
        "warn" => LogLevel.Warning,
        "error" => LogLevel.Error,
        _ => LogLevel.Information,
    };

    private static IEnumerable<Gauge> Gauges(LocalModels models)
    {
        foreach (var (name, tokens, padding, waiting) in models.Load())
        {
            var labels = $"model=\"{ProxyMetrics.Escape(name)}\"";
            yield return new("proxy_inference_waiting", "Texts waiting for a model of this process.", labels, waiting);
            yield return new("proxy_inference_tokens", "Tokens that a model of this process has computed.", labels, tokens);
            yield return new("proxy_inference_padding", "Tokens computed only to fill batches up.", labels, padding);
        }
    }

    private static IEnumerable<Gauge> Gauges(BackendDirectory directory, SlotQueue slots)
    {
        yield return new("proxy_queue_waiting", "Calls waiting for a slot.", "", slots.Waiting);
        foreach (var backend in directory.Table.All)
        {
            var labels = $"backend=\"{ProxyMetrics.Escape(backend.Name)}\"";
            yield return new("proxy_backend_up", "1 while the backend can be given calls.", labels, backend.IsEcho || backend.State.Available ? 1 : 0);
            yield return new("proxy_backend_breaker_open", "1 while the backend's circuit breaker is open.", labels, backend.State.Breaker is BreakerState.Open ? 1 : 0);
            yield return new("proxy_backend_in_flight", "Calls running at the backend.", labels, backend.State.InFlight);
            if (backend.Slots is { } limit) yield return new("proxy_backend_slots", "Calls that the backend may run at once.", labels, limit);
        }
    }
}
