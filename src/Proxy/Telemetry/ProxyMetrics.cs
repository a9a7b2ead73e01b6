using System.Collections.Concurrent;
using System.Globalization;
using System.Text;

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
    // The bounds that the OpenTelemetry conventions give for the time to the first token, and four more, because a large prompt takes minutes.
    private static readonly double[] FirstTokenBounds = [.001, .005, .01, .02, .04, .06, .08, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10, 30, 60, 120, 300];
    private static readonly double[] DurationBounds = [.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600];

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
    private readonly ConcurrentDictionary<string, Histogram> firstTokens = new();
    private readonly ConcurrentDictionary<string, Histogram> durations = new();
    private readonly List<Func<IEnumerable<Gauge>>> gauges = [];
    private readonly List<(string Name, string Help, DurationHistogram Durations)> histograms = [];
    private Series? last;
    private int unlisted;
    private long inFlight;
    private long promptBytes;
    private long sharedPromptBytes;
    private long skippedParts;

    /// <summary>Whether the file or a host lists a model's name. Listed models have series of their own.</summary>
    public Func<string, bool> Lists { get; set; } = static _ => false;

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

    /// <summary>Adds durations without labels. Call it while composing.</summary>
    public DurationHistogram AddHistogram(string name, string help)
    {
        var added = new DurationHistogram();
        histograms.Add((name, help, added));
        return added;
    }

    public void Count(CallRecord call, TimeSpan duration, TimeSpan? firstToken)
    {
        var series = last;
        if (series?.IsOf(call) != true) last = series = Find(call);
        series.Requests.Add(1);
        series.Durations.Observe(duration.TotalSeconds);
        if (firstToken is { } first)
        {
            (series.FirstTokens ??= firstTokens.GetOrAdd(call.Backend ?? "", static _ => new(FirstTokenBounds))).Observe(first.TotalSeconds);
        }

        if (call.Served is null) return;
        if (call.TokensIn is { } input) (series.Input ??= Tokens(call, input: true)).Add(input);
        if (call.TokensOut is { } output) (series.Output ??= Tokens(call, input: false)).Add(output);
    }

    private Series Find(CallRecord call)
    {
        var key = (call.Surface, call.Backend ?? "", Label(call), call.Outcome, call.Status);
        return requests.TryGetValue(key, out var known)
            ? known : requests.GetOrAdd(key, new Series(call, durations.GetOrAdd(call.Surface, static _ => new(DurationBounds))));
    }

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
        var text = new StringBuilder(4096);
        Head(text, "proxy_requests_total", "counter", "Finished calls.");
        foreach (var (key, series) in requests)
            Line(text, "proxy_requests_total",
                $"surface=\"{Escape(key.Surface)}\",backend=\"{Escape(key.Backend)}\",model=\"{Escape(key.Model)}\","
                    + $"outcome=\"{CallLedger.Name(key.Outcome)}\",status=\"{key.Status}\"", series.Requests.Value);
        Head(text, "proxy_tokens_total", "counter", "Tokens as the hosts counted them.");
        foreach (var (key, counter) in tokens)
            Line(text, "proxy_tokens_total",
                $"backend=\"{Escape(key.Backend)}\",model=\"{Escape(key.Model)}\",direction=\"{(key.Input ? "input" : "output")}\"", counter.Value);
        Head(text, "proxy_prompt_bytes_total", "counter", "Bytes of prompts of 8 KiB or more.");
        Line(text, "proxy_prompt_bytes_total", "", Volatile.Read(ref promptBytes));
        Head(text, "proxy_prompt_shared_bytes_total", "counter",
            "Those of them that repeat the beginning of an earlier prompt of the same key and model: what a prefix cache can save.");
        Line(text, "proxy_prompt_shared_bytes_total", "", Volatile.Read(ref sharedPromptBytes));
        Head(text, "proxy_answer_parts_skipped_total", "counter", "Answer parts of unknown types, left out in translation.");
        Line(text, "proxy_answer_parts_skipped_total", "", Volatile.Read(ref skippedParts));
        Write(text, "proxy_first_token_seconds", "Time from the request to the first content.", "backend", firstTokens);
        Write(text, "proxy_request_duration_seconds", "Time from the request to the end of its answer.", "surface", durations);
        foreach (var (name, help, durations) in histograms)
        {
            Head(text, name, "histogram", help);
            Write(text, name, "", durations.Counts);
        }

        Head(text, "proxy_in_flight", "gauge", "Calls running now.");
        Line(text, "proxy_in_flight", "", InFlight);
        string? last = null;
        foreach (var gauge in gauges.SelectMany(source => source()).OrderBy(g => g.Name, StringComparer.Ordinal))
        {
            if (gauge.Name != last) Head(text, last = gauge.Name, gauge.Name.EndsWith("_total", StringComparison.Ordinal) ? "counter" : "gauge", gauge.Help);
            Line(text, gauge.Name, gauge.Labels, gauge.Value);
        }

        return text.ToString();
    }

    public static string Escape(string label) =>
        label.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal).Replace("\n", "\\n", StringComparison.Ordinal);

    private static void Head(StringBuilder text, string name, string kind, string help)
        => text.Append("# HELP ").Append(name).Append(' ').Append(help).Append("\n# TYPE ").Append(name).Append(' ').Append(kind).Append('\n');

    private static void Line(StringBuilder text, string name, string labels, double value)
    {
        text.Append(name);
        if (labels.Length > 0) text.Append('{').Append(labels).Append('}');
        text.Append(' ').Append(value.ToString(CultureInfo.InvariantCulture)).Append('\n');
    }

    private static void Write(StringBuilder text, string name, string help, string label, ConcurrentDictionary<string, Histogram> all)
    {
        Head(text, name, "histogram", help);
        foreach (var (key, histogram) in all) Write(text, name, $"{label}=\"{Escape(key)}\"", histogram);
    }

    private static void Write(StringBuilder text, string name, string labels, Histogram histogram)
    {
        var before = labels.Length == 0 ? "" : labels + ",";
        var total = 0L;
        for (var i = 0; i < histogram.Bounds.Length; i++)
        {
            total += histogram.Bucket(i);
            Line(text, name + "_bucket", $"{before}le=\"{histogram.Bounds[i].ToString(CultureInfo.InvariantCulture)}\"", total);
        }

        total += histogram.Bucket(histogram.Bounds.Length);
        Line(text, name + "_bucket", $"{before}le=\"+Inf\"", total);
        Line(text, name + "_sum", labels, histogram.Sum);
        Line(text, name + "_count", labels, total);
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
        public Histogram? FirstTokens { get; set; }
        public Counter? Input { get; set; }
        public Counter? Output { get; set; }

        public bool IsOf(CallRecord call) =>
            ReferenceEquals(call.Surface, surface) && ReferenceEquals(call.Backend, backend) && call.Outcome == outcome && call.Status == status
                && ReferenceEquals(call.Served ?? call.Model, model);
    }

    /// <summary>Durations of a feature's own work.</summary>
    internal sealed class DurationHistogram
    {
        internal Histogram Counts { get; } = new(FirstTokenBounds);

        public void Observe(TimeSpan duration) => Counts.Observe(duration.TotalSeconds);
    }

    private sealed class Counter
    {
        private long value;
        public long Value => Volatile.Read(ref value);
        public void Add(long more) => Interlocked.Add(ref value, more);
    }

    internal sealed class Histogram(double[] bounds)
    {
        private readonly long[] counts = new long[bounds.Length + 1];
        private long microseconds;

        public double[] Bounds => bounds;
        public double Sum => Volatile.Read(ref microseconds) / 1e6;
        public long Bucket(int at) => Volatile.Read(ref counts[at]);

        public void Observe(double seconds)
        {
            var at = 0;
            while (at < bounds.Length && seconds > bounds[at]) at++;
            Interlocked.Increment(ref counts[at]);
            Interlocked.Add(ref microseconds, (long)(seconds * 1e6));
        }
    }
}
