using System.Buffers.Text;
using System.Text;

namespace Proxy.Backends;

/// <summary>What a host says of itself in its own metrics. Null: it does not say. Values of several models or engines of one host are one sum.</summary>
internal sealed record HostFigures
{
    /// <summary>
    /// The names by which the kinds of hosts have a figure, in Prometheus' text format. Of each row the first name that the host has counts: newer versions
    /// keep old names beside the new ones.
    /// </summary>
    private static readonly (Func<HostFigures, double, HostFigures> Set, bool IsShare, string[] Names)[] Known =
    [
        (static (all, value) => all with { Running = value }, false,
            ["vllm:num_requests_running", "llamacpp:requests_processing", "sglang:num_running_reqs", "tgi_batch_current_size"]),
        (static (all, value) => all with { Waiting = value }, false,
            ["vllm:num_requests_waiting", "llamacpp:requests_deferred", "sglang:num_queue_reqs", "tgi_queue_size"]),
        (static (all, value) => all with { KvUsage = value }, true,
            ["vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc", "llamacpp:kv_cache_usage_ratio", "sglang:token_usage"]),
        (static (all, value) => all with { PrefixQueries = value }, false,
            ["vllm:prefix_cache_queries_total", "vllm:prefix_cache_queries", "vllm:gpu_prefix_cache_queries_total", "vllm:gpu_prefix_cache_queries"]),
        (static (all, value) => all with { PrefixHits = value }, false,
            ["vllm:prefix_cache_hits_total", "vllm:prefix_cache_hits", "vllm:gpu_prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits",
                "llamacpp:prompt_tokens_cached_total"]),
        (static (all, value) => all with { PromptTokens = value }, false, ["vllm:prompt_tokens_total", "llamacpp:prompt_tokens_total"]),
        (static (all, value) => all with { OutputTokens = value }, false, ["vllm:generation_tokens_total", "llamacpp:tokens_predicted_total"]),
        (static (all, value) => all with { Preemptions = value }, false, ["vllm:num_preemptions_total", "vllm:num_preemptions"]),
    ];

    /// <summary>Requests that it computes now.</summary>
    public double? Running { get; init; }

    /// <summary>Requests that wait there.</summary>
    public double? Waiting { get; init; }

    /// <summary>The share of its memory for keys and values that is in use, from 0 to 1; of several engines the largest.</summary>
    public double? KvUsage { get; init; }

    /// <summary>Tokens of prompts that it looked up in its prefix cache, and those that it found there.</summary>
    public double? PrefixQueries { get; init; }
    public double? PrefixHits { get; init; }

    public double? PromptTokens { get; init; }
    public double? OutputTokens { get; init; }

    /// <summary>Requests that it interrupted for lack of memory.</summary>
    public double? Preemptions { get; init; }

    /// <summary>Reads the metrics of a host. Lines that are not of the format are skipped. Null if none of the known names is among them.</summary>
    public static HostFigures? Read(ReadOnlySpan<byte> text)
    {
        var values = new double?[Known.Length];
        var ranks = new int[Known.Length]; // which of its names a value has
        foreach (var range in text.Split((byte)'\n'))
        {
            var line = text[range];
            if (line.IsEmpty || line[0] == (byte)'#' || !TryRead(line, out var name, out var value)) continue;
            for (var row = 0; row < Known.Length; row++)
            {
                var rank = Array.FindIndex(Known[row].Names, name.Equals);
                if (rank < 0 || (values[row] is not null && rank > ranks[row])) continue;
                var before = rank == ranks[row] ? values[row] ?? 0 : 0;
                (values[row], ranks[row]) = (Known[row].IsShare ? Math.Min(1, Math.Max(before, value)) : before + value, rank);
            }
        }

        HostFigures? all = null;
        for (var row = 0; row < Known.Length; row++)
        {
            if (values[row] is { } value) all = Known[row].Set(all ?? new(), value);
        }

        return all;
    }

    /// <summary>Reads a line: a name, labels in braces or none, a value that can be counted with, and perhaps a time.</summary>
    private static bool TryRead(ReadOnlySpan<byte> line, out string name, out double value)
    {
        (name, value) = ("", 0);
        var end = line.IndexOfAny((byte)'{', (byte)' ');
        if (end is < 1 or > 64) return false;
        var rest = line[end..];
        if (rest[0] == (byte)'{')
        {
            var close = rest.LastIndexOf((byte)'}');
            if (close < 0) return false;
            rest = rest[(close + 1)..];
        }

        rest = rest.TrimStart(" \t"u8);
        if (!Utf8Parser.TryParse(rest, out value, out var used) || !double.IsFinite(value) || value < 0) return false;
        if (used < rest.Length && rest[used] is not ((byte)' ' or (byte)'\t' or (byte)'\r')) return false;
        name = Encoding.UTF8.GetString(line[..end]);
        return true;
    }
}
