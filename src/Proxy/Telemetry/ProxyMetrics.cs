using System.Collections.Concurrent;

namespace Proxy.Telemetry;

/// <summary>A value that is read at each scrape: a counter if its name ends in <c>_total</c>.</summary>
/// <param name="Labels">Labels in exposition format: <c>backend="a"</c>, or empty.</param>
internal readonly record struct Gauge(string Name, string Help, string Labels, double Value);

/// <summary>
/// Counts and times of calls, and their text for Prometheus (exposition format 0.0.4). Counting allocates nothing after the first call of a kind.
/// docs/decisions/0002 says why this is not a library.
/// </summary>
internal sealed class ProxyMetrics
{
    /// <summary>
    /// The most models with series of their own, and the most of them with names that neither the file nor a host lists: names that match a prefix, and names
    /// that
    /// clients give to the only model of a host which accepts every name.
    /// </summary>
    private const int MostModels = 1000, MostUnlisted = 100;

    private const string OtherModel = "other";

    private readonly ConcurrentDictionary<(string Surface, string Backend, string Model, CallOutcome Outcome, int Status), Series> requests = new();
    private readonly ConcurrentDictionary<string, string> labels = new();
    private readonly ConcurrentDictionary<(string Backend, string Model, bool Input), Counter> tokens = new();
    private readonly ConcurrentDictionary<string, Histogram> durations = new();
    private readonly ConcurrentDictionary<(string Backend, string Model), Histogram> queued = new();
    private readonly ConcurrentDictionary<string, Counter> failures = new();
    private readonly List<Func<IEnumerable<Gauge>>> gauges = [];
    private readonly List<(string Name, string Help, Durations Durations)> histograms = [];
    private Series? last;
    private int unlisted;
    private long inFlight;
    private long promptBytes;
    private long sharedPromptBytes;
    private long skippedParts;

    /// <summary>Whether the file or a host lists a model's name. Listed models have series of their own.</summary>
    public Func<string, bool> Lists { get; set; } = static _ => false;

    /// <summary>The calls to models by the conventions' names.</summary>
    public GenAiMetrics GenAi { get; } = new();

    public long InFlight => Volatile.Read(ref inFlight);

    public void Enter() => Interlocked.Increment(ref inFlight);

    /// <summary>Counts the bytes of a long prompt, and those of them that repeat the beginning of an earlier one.</summary>
    public void CountPrompt(long length, long shared)
    {
        Interlocked.Add(ref promptBytes, length);
        Interlocked.Add(ref sharedPromptBytes, shared);
    }

    /// <summary>Counts a part of an answer that was left out because its type is unknown.</summary>
    public void CountSkipped() => Interlocked.Increment(ref skippedParts);

    public void Leave() => Interlocked.Decrement(ref inFlight);

    /// <summary>Adds values that are read at every scrape. Call it while composing.</summary>
    public void Add(Func<IEnumerable<Gauge>> source) => gauges.Add(source);

    /// <summary>Adds durations of a feature's work. Call it while composing.</summary>
    public Durations AddHistogram(string name, string help, string label = "")
    {
        var added = new Durations(label);
        histograms.Add((name, help, added));
        return added;
    }

    /// <summary>Counts an attempt at a backend that failed, whether another backend then answered or not.</summary>
    public void CountFailure(string backend) => failures.GetOrAdd(backend, static _ => new()).Add(1);

    /// <param name="call">The finished call.</param>
    /// <param name="duration">How long it took.</param>
    /// <param name="firstToken">How long its first content took; null: it has none.</param>
    /// <param name="queued">How long it waited for slots; null: it asked for none.</param>
    /// <param name="generating">From the first content of a host's stream to its end; null: there is no such stream.</param>
    public void Count(CallRecord call, TimeSpan duration, TimeSpan? firstToken, TimeSpan? queued = null, TimeSpan? generating = null)
    {
        var series = last;
        if (series?.IsOf(call) != true) last = series = Find(call);
        series.Requests.Add(1);
        series.Durations.Observe(duration.TotalSeconds);
        if (queued is { } waited) (series.Queued ??= Queued(call)).Observe(waited.TotalSeconds);
        series.Inference?.Observe(duration.TotalSeconds);
        if (call.Served is null) return;
        if (call.TokensIn is { } input) (series.Input ??= Tokens(call, input: true)).Add(input);
        if (call.TokensOut is { } output) (series.Output ??= Tokens(call, input: false)).Add(output);
        if (series.Inference is not null) (series.Answers ??= GenAi.Series(series.Key)).Count(call, firstToken, generating);
    }

    private Series Find(CallRecord call)
    {
        var model = Label(call);
        var key = (call.Surface, call.Backend ?? "", model, call.Outcome, call.Status);
        if (requests.TryGetValue(key, out var known)) return known;
        var made = new Series(call, durations.GetOrAdd(call.Surface, static _ => new(Histogram.Duration)));
        if (call.Backend is { } backend && GenAiMetrics.OperationOf(call.Surface) is { } operation)
        {
            made.Key = new(operation, backend, model);
            made.Inference = GenAi.Duration(made.Key, call.Outcome);
        }

        return requests.GetOrAdd(key, made);
    }

    private Histogram Queued(CallRecord call) => queued.GetOrAdd((call.Backend ?? "", Label(call)), static _ => new(Histogram.Queue));

    private Counter Tokens(CallRecord call, bool input) => tokens.GetOrAdd((call.Backend ?? "", Label(call), input), static _ => new());

    /// <summary>
    /// The model that answered, else the one that was asked for. A client that invents names, with a host that accepts every name, must not create a series for
    /// each.
    /// </summary>
    private string Label(CallRecord call)
    {
        if ((call.Served ?? call.Model) is not { } model) return "";
        if (labels.TryGetValue(model, out var label)) return label;
        var isListed = Lists(model);
        if (!isListed && (call.Served is null || Volatile.Read(ref unlisted) >= MostUnlisted)) return OtherModel;
        if (labels.Count >= MostModels) return OtherModel;
        if (labels.TryAdd(model, model) && !isListed) Interlocked.Increment(ref unlisted);
        return labels[model];
    }

    public string Expose()
    {
        var text = new MetricsText();
        text.Head("proxy_requests_total", "counter", "Finished calls.");
        foreach (var (key, series) in requests)
            text.Line("proxy_requests_total",
                $"surface=\"{Escape(key.Surface)}\",backend=\"{Escape(key.Backend)}\",model=\"{Escape(key.Model)}\","
                    + $"outcome=\"{CallLedger.Name(key.Outcome)}\",status=\"{key.Status}\"", series.Requests.Value);
        text.Head("proxy_tokens_total", "counter", "Tokens as the hosts counted them.");
        foreach (var (key, counter) in tokens)
            text.Line("proxy_tokens_total",
                $"backend=\"{Escape(key.Backend)}\",model=\"{Escape(key.Model)}\",direction=\"{(key.Input ? "input" : "output")}\"", counter.Value);
        text.Head("proxy_backend_failures_total", "counter", "Attempts at a backend that failed.");
        foreach (var (backend, counter) in failures) text.Line("proxy_backend_failures_total", $"backend=\"{Escape(backend)}\"", counter.Value);
        text.Head("proxy_prompt_bytes_total", "counter", "Bytes of prompts of 8 KiB or more.");
        text.Line("proxy_prompt_bytes_total", "", Volatile.Read(ref promptBytes));
        text.Head("proxy_prompt_shared_bytes_total", "counter",
            "Those of them that repeat the beginning of an earlier prompt of the same key and model: what a prefix cache can save.");
        text.Line("proxy_prompt_shared_bytes_total", "", Volatile.Read(ref sharedPromptBytes));
        text.Head("proxy_answer_parts_skipped_total", "counter", "Answer parts of unknown types, left out in translation.");
        text.Line("proxy_answer_parts_skipped_total", "", Volatile.Read(ref skippedParts));
        text.Head("proxy_request_duration_seconds", "histogram", "Time from the request to the end of its answer.");
        foreach (var (surface, histogram) in durations) text.Write("proxy_request_duration_seconds", $"surface=\"{Escape(surface)}\"", histogram);
        text.Head("proxy_queue_seconds", "histogram", "Time that a call waited for slots.");
        foreach (var (key, histogram) in queued)
            text.Write("proxy_queue_seconds", $"backend=\"{Escape(key.Backend)}\",model=\"{Escape(key.Model)}\"", histogram);
        GenAi.Expose(text);
        text.Head("proxy_in_flight", "gauge", "Calls running now.");
        text.Line("proxy_in_flight", "", InFlight);
        ExposeFeatures(text);
        return text.ToString();
    }

    public static string Escape(string label) => MetricsText.Escape(label);

    /// <summary>The histograms and values of the features.</summary>
    private void ExposeFeatures(MetricsText text)
    {
        foreach (var (name, help, added) in histograms)
        {
            text.Head(name, "histogram", help);
            foreach (var (value, histogram) in added.All) text.Write(name, value.Length == 0 ? "" : $"{added.Label}=\"{Escape(value)}\"", histogram);
        }

        string? last = null;
        foreach (var gauge in gauges.SelectMany(source => source()).OrderBy(g => g.Name, StringComparer.Ordinal))
        {
            if (gauge.Name != last) text.Head(last = gauge.Name, gauge.Name.EndsWith("_total", StringComparison.Ordinal) ? "counter" : "gauge", gauge.Help);
            text.Line(gauge.Name, gauge.Labels, gauge.Value);
        }
    }

    /// <summary>
    /// The counters of one kind of call. The last one used is tried first, because the next call is likely of the same kind. Then no lookup is needed, and the
    /// comparison is by reference, because the strings are the same objects in every call.
    /// </summary>
    private sealed class Series(CallRecord first, Histogram durations)
    {
        private readonly string surface = first.Surface;
        private readonly string? backend = first.Backend;
        private readonly string? model = first.Served ?? first.Model;
        private readonly CallOutcome outcome = first.Outcome;
        private readonly int status = first.Status;

        public Counter Requests { get; } = new();
        public Histogram Durations => durations;
        public Histogram? Queued { get; set; }

        /// <summary>The durations of a model's answers; null: the calls generate nothing.</summary>
        public Histogram? Inference { get; set; }

        /// <summary>Names the numbers of these calls' model, if the calls generate something.</summary>
        public GenAiMetrics.Key Key { get; set; }

        /// <summary>What is counted of a model's answers; null: none was answered.</summary>
        public InferenceSeries? Answers { get; set; }
        public Counter? Input { get; set; }
        public Counter? Output { get; set; }

        public bool IsOf(CallRecord call) =>
            ReferenceEquals(call.Surface, surface) && ReferenceEquals(call.Backend, backend) && call.Outcome == outcome && call.Status == status
                && ReferenceEquals(call.Served ?? call.Model, model);
    }
}
