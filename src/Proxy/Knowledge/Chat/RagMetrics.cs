using Proxy.Knowledge.Search;
using Proxy.Telemetry;

namespace Proxy.Knowledge.Chat;

/// <summary>How the search for a chat ended.</summary>
internal enum SearchEnd { Some, None, Failed }

/// <summary>Counts and times the searches that chats make.</summary>
internal sealed class RagMetrics
{
    private readonly TimeProvider time;
    private readonly Durations durations;
    private readonly Durations stages;
    private long some, none, failed, passages;

    public RagMetrics(ProxyMetrics metrics, TimeProvider time)
    {
        this.time = time;
        durations = metrics.AddHistogram("proxy_rag_search_seconds", "Time of a search in documents for a chat.");
        stages = metrics.AddHistogram("proxy_rag_stage_seconds", "Time of a stage of a search in documents, for chats and other callers.", "stage");
        foreach (var stage in StageClock.Names) stages.Of(stage);
        metrics.Add(Measure);
    }

    public long Begin() => time.GetTimestamp();

    public void Searched(long began) => durations.Observe(time.GetElapsedTime(began));

    /// <summary>A search has ended, for a chat or another caller.</summary>
    public void Timed(IReadOnlyList<StageTime> took)
    {
        foreach (var (stage, milliseconds) in took) stages.Observe(TimeSpan.FromMilliseconds(milliseconds), stage);
    }

    public void Count(SearchEnd end, int found = 0)
    {
        Interlocked.Add(ref passages, found);
        Interlocked.Increment(ref end is SearchEnd.Some ? ref some : ref end is SearchEnd.None ? ref none : ref failed);
    }

    private IEnumerable<Gauge> Measure() =>
    [
        Searches("some", Volatile.Read(ref some)),
        Searches("none", Volatile.Read(ref none)),
        Searches("failed", Volatile.Read(ref failed)),
        new("proxy_rag_passages_total", "Passages that were given to models.", "", Volatile.Read(ref passages)),
    ];

    private static Gauge Searches(string hits, long count) =>
        new("proxy_rag_searches_total", "Searches in documents for chats: with passages, without any, or failed.", $"hits=\"{hits}\"", count);
}
