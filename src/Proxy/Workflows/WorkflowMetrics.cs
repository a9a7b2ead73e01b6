using Proxy.Telemetry;

namespace Proxy.Workflows;

/// <summary>Counts what jobs and their events do.</summary>
internal sealed class WorkflowMetrics
{
    private long running, launched, failed, unreadable, unknown, dropped, artifacts;

    public WorkflowMetrics(ProxyMetrics metrics) => metrics.Add(Measure);

    public void Launched()
    {
        Interlocked.Increment(ref launched);
        Interlocked.Increment(ref running);
    }

    public void Ended() => Interlocked.Decrement(ref running);

    public void Failed() => Interlocked.Increment(ref failed);

    public void Unreadable() => Interlocked.Increment(ref unreadable);

    public void Unknown() => Interlocked.Increment(ref unknown);

    public void Dropped() => Interlocked.Increment(ref dropped);

    public void Kept() => Interlocked.Increment(ref artifacts);

    private IEnumerable<Gauge> Measure() =>
    [
        new("proxy_workflow_jobs_running", "Jobs of pipelines that are running.", "", Volatile.Read(ref running)),
        new("proxy_workflow_jobs_total", "Jobs of pipelines that were launched.", "", Volatile.Read(ref launched)),
        new("proxy_workflow_failed_total", "Jobs of pipelines that could not be launched or failed.", "", Volatile.Read(ref failed)),
        new("proxy_workflow_unreadable_total", "Lines of jobs that are not events.", "", Volatile.Read(ref unreadable)),
        new("proxy_workflow_unknown_total", "Events of jobs whose type is not known here.", "", Volatile.Read(ref unknown)),
        new("proxy_workflow_dropped_total", "Events of jobs that came twice, or from an attempt that was given up.", "", Volatile.Read(ref dropped)),
        new("proxy_workflow_artifacts_total", "Artifacts of jobs that were kept.", "", Volatile.Read(ref artifacts)),
    ];
}
