using System.Collections.Concurrent;

namespace Proxy.Telemetry;

/// <summary>What is counted of the calls of one operation (chat or text_completion) for one model at one backend.</summary>
internal sealed class InferenceSeries
{
    /// <summary>From the request to the first content of a stream.</summary>
    public Histogram FirstToken { get; } = new(Histogram.FirstToken);

    /// <summary>One observation a stream: the time for each token after the first.</summary>
    public Histogram PerToken { get; } = new(Histogram.PerToken);

    /// <summary>One observation for each chunk after the first, each with the mean of its stream.</summary>
    public Histogram PerChunk { get; } = new(Histogram.PerToken);

    public Counter Input { get; } = new();
    public Counter Output { get; } = new();
    public Counter CacheRead { get; } = new();
    public Counter CacheWritten { get; } = new();
    public Counter Reasoning { get; } = new();

    public void Count(CallRecord call, TimeSpan? firstToken, TimeSpan? generating)
    {
        if (call.TokensIn is { } input) Input.Add(input);
        if (call.TokensOut is { } output) Output.Add(output);
        if (call.TokensCached is { } read) CacheRead.Add(read);
        if (call.TokensCacheWritten is { } written) CacheWritten.Add(written);
        if (call.TokensReasoning is { } thought) Reasoning.Add(thought);
        if (!call.Stream) return;
        if (firstToken is { } first) FirstToken.Observe(first.TotalSeconds);
        if (generating is not { } took) return;
        if (call.TokensOut is > 1 and var tokens) PerToken.Observe(took.TotalSeconds / (tokens - 1));
        if (call.Chunks is > 1 and var chunks) PerChunk.Observe(took.TotalSeconds / (chunks - 1), chunks - 1);
    }
}

/// <summary>The calls to models by the names of the OpenTelemetry conventions for generative AI (v0.1.0, development), beside our own names.</summary>
internal sealed class GenAiMetrics
{
    /// <summary>
    /// A metric of the conventions. In Prometheus' form of a name, dots are underscores, the unit is a suffix and counters end in <c>_total</c>.
    /// </summary>
    /// <param name="Exposed">Its name at <c>/metrics</c>.</param>
    /// <param name="Kind">histogram or counter.</param>
    /// <param name="Name">Its name in the conventions.</param>
    /// <param name="Ours">Our metric of the same numbers; null: there is none.</param>
    /// <param name="Help">What it is.</param>
    /// <param name="Times">Its histogram, if it has one for each series.</param>
    /// <param name="Total">Its counter, if it is one.</param>
    internal sealed record Row(string Exposed, string Kind, string Name, string? Ours, string Help, Func<InferenceSeries, Histogram>? Times = null,
        Func<InferenceSeries, Counter>? Total = null);

    /// <summary>The conventions' names beside ours.</summary>
    internal static readonly IReadOnlyList<Row> Names =
    [
        new("gen_ai_client_inference_duration_seconds", "histogram", "gen_ai.client.inference.duration", "proxy_request_duration_seconds",
            "Time from the request to the end of the model's answer."),
        new("gen_ai_client_inference_time_to_first_chunk_seconds", "histogram", "gen_ai.client.inference.time_to_first_chunk", "proxy_first_token_seconds",
            "Time from the request to the first content of a stream.", static series => series.FirstToken),
        new("gen_ai_client_inference_time_per_output_chunk_seconds", "histogram", "gen_ai.client.inference.time_per_output_chunk", null,
            "Time of each chunk of a stream after the first, as the mean of its stream.", static series => series.PerChunk),
        new("gen_ai_server_time_per_output_token_seconds", "histogram", "gen_ai.server.time_per_output_token", "proxy_time_per_output_token_seconds",
            "Time of a stream for each token after the first.", static series => series.PerToken),
        new("gen_ai_client_inference_usage_input_tokens_total", "counter", "gen_ai.client.inference.usage.input_tokens", "proxy_tokens_total",
            "Tokens of prompts.", Total: static series => series.Input),
        new("gen_ai_client_inference_usage_output_tokens_total", "counter", "gen_ai.client.inference.usage.output_tokens", "proxy_tokens_total",
            "Tokens of answers.", Total: static series => series.Output),
        new("gen_ai_client_inference_usage_cache_read_input_tokens_total", "counter", "gen_ai.client.inference.usage.cache_read.input_tokens",
            "proxy_cached_tokens_total", "Tokens of prompts that hosts read from their caches.", Total: static series => series.CacheRead),
        new("gen_ai_client_inference_usage_cache_write_input_tokens_total", "counter", "gen_ai.client.inference.usage.cache_write.input_tokens", null,
            "Tokens of prompts that hosts wrote to their caches.", Total: static series => series.CacheWritten),
        new("gen_ai_client_inference_usage_reasoning_output_tokens_total", "counter", "gen_ai.client.inference.usage.reasoning.output_tokens", null,
            "Tokens of answers that were reasoning.", Total: static series => series.Reasoning),
    ];

    private readonly ConcurrentDictionary<Key, InferenceSeries> all = new();
    private readonly ConcurrentDictionary<(Key Key, CallOutcome Outcome), Histogram> durations = new();

    /// <summary>An operation for a model at a backend.</summary>
    internal readonly record struct Key(string Operation, string Backend, string Model);

    /// <summary>The value of <c>gen_ai.provider.name</c> for a backend, by its name.</summary>
    public Func<string, string> Provider { get; set; } = static _ => "unknown";

    /// <summary>The value of <c>gen_ai.operation.name</c> for the calls of a path; null: they generate nothing.</summary>
    public static string? OperationOf(string surface) => surface switch
    {
        "/v1/chat/completions" or "/v1/responses" or "/v1/messages" or "/api/chat" => "chat",
        "/v1/completions" or "/api/generate" => "text_completion",
        _ => null,
    };

    public InferenceSeries Series(Key key) => all.GetOrAdd(key, static _ => new());

    public Histogram Duration(Key key, CallOutcome outcome) => durations.GetOrAdd((key, outcome), static _ => new(Histogram.Inference));

    public void Expose(MetricsText text)
    {
        ExposeOurs(text);
        var series = all.Select(one => (Labels: Labels(one.Key), Series: one.Value)).ToArray();
        foreach (var row in Names)
        {
            text.Head(row.Exposed, row.Kind, row.Help);
            if (row is { Times: null, Total: null })
            {
                foreach (var (key, times) in durations)
                    text.Write(row.Exposed, Labels(key.Key) + (key.Outcome is CallOutcome.Ok ? "" : $",error_type=\"{CallLedger.Name(key.Outcome)}\""), times);
            }

            foreach (var (labels, counts) in series)
            {
                if (row.Times is { } times) text.Write(row.Exposed, labels, times(counts));
                if (row.Total is { } total) text.Line(row.Exposed, labels, total(counts).Value);
            }
        }
    }

    /// <summary>The same numbers by our names, which do not tell operations apart.</summary>
    private void ExposeOurs(MetricsText text)
    {
        var models = all.GroupBy(static one => (one.Key.Backend, one.Key.Model), static one => one.Value)
            .Select(static group => (Labels: $"backend=\"{MetricsText.Escape(group.Key.Backend)}\",model=\"{MetricsText.Escape(group.Key.Model)}\"",
                Series: group.ToArray())).ToArray();
        text.Head("proxy_first_token_seconds", "histogram", "Time from the request to the first content of a stream.");
        foreach (var (labels, series) in models)
            text.Write("proxy_first_token_seconds", labels, Histogram.Of([.. series.Select(static one => one.FirstToken)]));
        text.Head("proxy_time_per_output_token_seconds", "histogram", "Time of a stream for each token after the first.");
        foreach (var (labels, series) in models)
            text.Write("proxy_time_per_output_token_seconds", labels, Histogram.Of([.. series.Select(static one => one.PerToken)]));
        text.Head("proxy_cached_tokens_total", "counter", "Tokens of prompts that hosts read from their caches.");
        foreach (var (labels, series) in models) text.Line("proxy_cached_tokens_total", labels, series.Sum(static one => one.CacheRead.Value));
    }

    private string Labels(Key key) => $"backend=\"{MetricsText.Escape(key.Backend)}\",gen_ai_operation_name=\"{key.Operation}\","
        + $"gen_ai_provider_name=\"{MetricsText.Escape(Provider(key.Backend))}\",gen_ai_request_model=\"{MetricsText.Escape(key.Model)}\"";
}
