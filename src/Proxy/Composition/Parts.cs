using System.Net;
using System.Threading.Channels;
using Proxy.Backends;
using Proxy.Composition.Features;
using Proxy.Composition.Handoff;
using Proxy.Config;
using Proxy.Dialects;
using Proxy.Http;
using Proxy.Routes;
using Proxy.Streams;
using Proxy.Telemetry;
using Proxy.Transport;
using Proxy.Transport.Loops;

namespace Proxy.Composition;

/// <summary>Everything that runs, made by hand in reading order. What owns something is disposed in the opposite order.</summary>
internal sealed class Parts : IDisposable
{
    /// <summary>
    /// Every feature, in the order in which their surfaces and routes are asked. To delete one, delete its line here, its file in Features, and its folders;
    /// the rest builds.
    /// </summary>
    public static readonly IReadOnlyList<Action<PartsBuilder>> Features =
    [
        InferenceFeature.Add,
        WorkflowsFeature.Add,
        KnowledgeFeature.Add, // its route is asked before the direct one
        CacheFeature.Add,
        ResponsesFeature.Add,
        OllamaFeature.Add,
        AnthropicFeature.Add,
        VectorsFeature.Add,
        NatsFeature.Add,
        TracesFeature.Add,
        OperatorFeature.Add,
        ConsoleFeature.Add,
        BodiesFeature.Add,
        StoreFeature.Add,
        StreamsFeature.Add, // its gate is the last, and always lets the end pass: an answer that is recorded as complete ends well
        OpenAiFeature.Add, // last, because every request that belongs to no other dialect is OpenAI's
    ];

    private readonly Stack<IDisposable> owned = [];
    private readonly LoadedConfig loaded;
    private readonly LogWriter writer;
    private readonly ApiKeyGate gate;
    private readonly ProbeClients probes;
    private readonly PartsBuilder features;
    private readonly Lock reloading = new();

    /// <param name="more">Adds routes, followers or whatever else a feature can add, before the features do.</param>
    public Parts(LoadedConfig loaded, LogWriter writer, TimeProvider time, Action<PartsBuilder>? more = null)
    {
        (this.loaded, this.writer, Time) = (loaded, writer, time);
        var config = loaded.Config;

        // Telemetry
        var format = config.Log.Format == "json" ? LogFormat.Json : LogFormat.Text;
        (writer.Format, writer.Least) = (format, Least(config.Log));
        LoggerProvider = Own(new ProxyLoggerProvider(writer, format, time));
        Log = LoggerProvider.CreateLogger("Proxy");
        var metrics = new ProxyMetrics { Lists = model => Directory!.Table.Lists(model) };

        // Backends
        var ticker = Own(new CoarseTicker(time));
        Own(new MemoryTrimmer(time));
        if (config.Server.Transport == "epoll") Loops = Own(new EventLoops(Environment.ProcessorCount, ticker, Log));
        Directory = new BackendDirectory(config, target => UpstreamClients.Create(target, ticker, Loops), DialectTable.Backend, time);
        var slots = Slots = new SlotQueue(time);
        Directory.Changed = slots.Recheck;
        Predecessors = Own(new Predecessors(slots, Directory, Log, time));
        probes = Own(new ProbeClients(Directory, time));
        Probe = new BackendProbe(Directory, slots, probes.AskAsync, Log, time);
        var hosts = new HostMetrics(Directory, probes.FiguresAsync, time);
        metrics.Add(hosts.Read);

        // The edge
        gate = new ApiKeyGate(config, time);
        var catalog = new ModelCatalog(Directory, Probe);
        var ledger = new CallLedger(writer, format, metrics, time);
        var journals = Own(new JournalTable(time, () => Directory.Table.Config.Streams.Memory));
        var sharing = new CallSharing(journals, () => Directory.Table.Config.Streams, Calls, Log, time);
        var exchange = new ExchangeParts(gate, Calls, ledger, metrics, () => Directory.Table.Config.Server, Log, time, ticker, Directory.Identity, sharing)
        {
            Forwarding = Own(new Forwarding(() => Predecessors.AdminSockets)),
        };
        var dispatcher = new BackendDispatcher(Directory, slots, Log, time);
        features = new PartsBuilder(config, Directory, slots, dispatcher, catalog, Own(new RemoteImages()), exchange, owned)
        {
            Background = { Probe.RunAsync, hosts.RunAsync },
            FixedSettings =
            {
                new("[server] listen", file => HasInheritedSockets ? "" : string.Join(' ', file.Server.Listen)),
                new("[server] transport", static file => file.Server.Transport),
                new("[server.tls]", static file => file.Server.Tls is null),
                new("[log] format", static file => file.Log.Format),
            },
        };
        Kept = new HandedJournals(journals, exchange.Forwarding);
        features.AdminRows.Add(new("POST", [HandedJournals.Path], Kept.ReceiveAsync));
        features.AdminRows.Add(new("POST", [HandoffEndpoint.Path], new HandoffEndpoint(wish => Handoff(wish)).HandleAsync));
        more?.Invoke(features);
        foreach (var add in Features) add(features);
        Own(Directory);
        metrics.Add(() =>
        [
            new("proxy_handoffs_total", "Handoffs to a new process since the service was started.", "", Handoffs),
            new("proxy_predecessors", "Processes that handed over and still finish calls.", "", Predecessors.Count),
            new("proxy_predecessor_calls", "Calls that those processes still finish.", "", Predecessors.Calls),
        ]);
        Endpoints = features.Build(new AdminEndpoints(Directory, catalog, Calls, Reload, loaded.Path, () => Drain?.Invoke(), time));
    }

    public TimeProvider Time { get; }
    public ProxyLoggerProvider LoggerProvider { get; }
    public ILogger Log { get; }

    /// <summary>Where clients and hosts meet, unless <c>[server] transport = "sockets"</c>.</summary>
    public EventLoops? Loops { get; }

    public BackendDirectory Directory { get; }
    public BackendProbe Probe { get; }

    /// <summary>Grants the slots of the hosts.</summary>
    public SlotQueue Slots { get; }

    /// <summary>The finished answers that clients can read again.</summary>
    public HandedJournals Kept { get; }

    /// <summary>The processes that handed over to this one.</summary>
    public Predecessors Predecessors { get; }

    public ActiveCalls Calls { get; } = new();
    public Endpoints Endpoints { get; }

    /// <summary>What the operator's wish to drain does; the host sets it.</summary>
    public Action? Drain { get; set; }

    /// <summary>What the operator's wish to hand over does; the host sets it.</summary>
    public Func<HandoffWish, ChannelReader<HandoffStep>> Handoff { get; set; } = static _ => throw new InvalidOperationException("nothing is served");

    /// <summary>The handoffs that led to this process, or to the one that took over from it.</summary>
    public long Handoffs { get; set; }

    /// <summary>Told after a reload.
    public Action? Reloaded { get; set; }

    /// <summary>Another process bound what we serve: <c>[server] listen</c> says nothing to this one.</summary>
    public bool HasInheritedSockets { get; set; }

    /// <summary>
    /// Reads the file again and makes it the current configuration, or keeps the old one and returns every problem. Also returns every setting that needs a
    /// restart, as long as its value in the file differs from the running one.
    /// </summary>
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

            List<string> late =
                [.. from setting in features.FixedSettings where !Equals(setting.Value(loaded.Config), setting.Value(next)) select setting.Name];
            foreach (var section in late) Log.NeedsRestart(section);
            writer.Least = Least(next.Log);
            Directory.Apply(next);
            gate.Apply(next);
            probes.Prune();
            Reloaded?.Invoke();
            Log.Reloaded(next.Backends.Count, next.Auth.Keys.Count);
            return new([], late);
        }
    }

    /// <summary>Says where the process listens, so that its jobs can call it.</summary>
    public void ListensAt(IReadOnlyList<Listener> listeners)
    {
        var config = loaded.Config.Server;
        var url = config.PublicUrls is [var known, ..] ? known : null;
        foreach (var listener in listeners)
        {
            if (listener.IsAdmin || listener.Address is not IPEndPoint ip) continue;
            // An address that stands for all is reached at the machine's own.
            var own = ip.Address.Equals(IPAddress.Any) ? IPAddress.Loopback : ip.Address.Equals(IPAddress.IPv6Any) ? IPAddress.IPv6Loopback : ip.Address;
            url ??= $"{listener.Scheme}://{new IPEndPoint(own, ip.Port)}";
        }

        url ??= HasInheritedSockets && config.Listen is [var first, ..] && !first.StartsWith("unix:", StringComparison.Ordinal) ? $"http://{first}" : null;
        features.BaseUrl = url is null ? null : url.TrimEnd('/') + "/v1";
    }

    /// <summary>Runs the background work of all features.</summary>
    /// <param name="alone">Ends the work that only one process may do.</param>
    /// <param name="cancellation">Ends the rest.</param>
    public Task RunAsync(CancellationToken alone, CancellationToken cancellation) =>
        Task.WhenAll(features.Background.Select(run => run(cancellation)).Concat(features.Alone.Select(run => run(alone))));

    /// <summary>Waits until the hosts were asked what they serve, and the models that the file configures for this process are loaded.</summary>
    public async Task PrepareAsync(CancellationToken cancellation)
    {
        await Probe.FirstRound.WaitAsync(cancellation).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        while (features.Readiness.Any(static check => check() is false) && !cancellation.IsCancellationRequested)
            await Task.Delay(TimeSpan.FromMilliseconds(50), Time, cancellation).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    public void Dispose()
    {
        while (owned.TryPop(out var last)) last.Dispose();
    }

    private T Own<T>(T part) where T : IDisposable
    {
        owned.Push(part);
        return part;
    }

    private static LogLevel Least(LogConfig log) => log.Level switch
    {
        "trace" => LogLevel.Trace,
        "debug" => LogLevel.Debug,
        "warn" => LogLevel.Warning,
        "error" => LogLevel.Error,
        _ => LogLevel.Information,
    };
}
