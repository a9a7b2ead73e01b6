using System.Collections.Concurrent;
using Proxy.Backends;
using Proxy.Telemetry;

namespace Proxy.Composition;

/// <summary>Asks hosts for their own metrics, at the rhythm of the probe, and shows what they said last. A scrape of ours waits for no host.</summary>
/// <param name="directory">The backends, and whether the file asks for this.</param>
/// <param name="ask">Fetches the metrics of a host; null: it has none, or they cannot be read.</param>
/// <param name="time">The clock.</param>
internal sealed class HostMetrics(BackendDirectory directory, Func<Backend, CancellationToken, Task<HostFigures?>> ask, TimeProvider time)
{
    private static readonly TimeSpan Rhythm = TimeSpan.FromSeconds(5);

    private readonly ConcurrentDictionary<string, HostFigures?> said = new();

    /// <summary>Runs until cancelled; follows the table and the setting through reloads.</summary>
    public async Task RunAsync(CancellationToken cancellation)
    {
        while (!cancellation.IsCancellationRequested)
        {
            // Ollama and TEI have no such figures, and another proxy's are its own.
            Backend[] asked = directory.Table.Config.Metrics.Hosts
                ? [.. directory.Table.All.Where(static b => !b.IsEcho && !b.IsProxy && b.State is { Available: true, Report.Kind: not ("ollama" or "tei") })]
                : [];
            foreach (var gone in said.Keys.Except(asked.Select(static backend => backend.Name))) said.TryRemove(gone, out _);
            await ((Task)Task.WhenAll(asked.Select(async backend => said[backend.Name] = await ask(backend, cancellation).ConfigureAwait(false))))
                .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            await Task.Delay(Rhythm, time, cancellation).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    public IEnumerable<Gauge> Read()
    {
        foreach (var (backend, figures) in said)
        {
            var labels = $"backend=\"{ProxyMetrics.Escape(backend)}\"";
            yield return new("proxy_host_metrics_up", "1 if the host's own metrics could be read.", labels, figures is null ? 0 : 1);
            if (figures is null) continue;
            if (figures.Running is { } running) yield return new("proxy_host_requests_running", "Requests that the host says it computes.", labels, running);
            if (figures.Waiting is { } waiting) yield return new("proxy_host_requests_waiting", "Requests that the host says wait there.", labels, waiting);
            if (figures.KvUsage is { } usage)
                yield return new("proxy_host_kv_usage_ratio", "The share of the host's memory for keys and values that is in use.", labels, usage);
            if (figures.PrefixQueries is { } queries)
                yield return new("proxy_host_prefix_queries_total", "Tokens of prompts that the host looked up in its prefix cache.", labels, queries);
            if (figures.PrefixHits is { } hits)
                yield return new("proxy_host_prefix_hits_total", "Tokens of prompts that the host found in its prefix cache.", labels, hits);
            if (figures.PromptTokens is { } prompt)
                yield return new("proxy_host_tokens_total", "Tokens that the host says it has computed.", labels + ",direction=\"input\"", prompt);
            if (figures.OutputTokens is { } output)
                yield return new("proxy_host_tokens_total", "Tokens that the host says it has computed.", labels + ",direction=\"output\"", output);
            if (figures.Preemptions is { } preemptions)
                yield return new("proxy_host_preemptions_total", "Requests that the host interrupted for lack of memory.", labels, preemptions);
        }
    }
}
