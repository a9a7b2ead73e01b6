using Proxy.Traces;

namespace Proxy.Composition.Features;

/// <summary>Traces calls and sends their spans by OTLP, if the configuration says where to.</summary>
internal static class TracesFeature
{
    public static void Add(PartsBuilder parts)
    {
        parts.FixedSettings.Add(new("[traces]", static config => config.Traces?.Receiver()));
        if (parts.Config.Traces is not { } config) return;

        var (log, time) = (parts.Exchange.Log, parts.Exchange.Time);
        var queue = new SpanQueue(log, time);
        var exporter = new SpanExporter(queue, new OtlpReceiver(config, time), ProxyHost.Version, log, time);
        parts.Owned.Push(exporter);
        parts.Exchange.Tracer = new Tracer(() => parts.Directory.Table.Config.Traces?.Sample ?? 0, queue, time);
        parts.Exchange.Metrics.Add(() =>
        [
            new("proxy_spans_waiting", "Spans that wait to be sent.", "", queue.Waiting),
            new("proxy_spans_total", "Spans that the receiver of traces took.", "", exporter.Sent),
            new("proxy_spans_dropped_total", "Spans that were not sent: too many were waiting, or the receiver did not take them.", "", queue.Dropped),
        ]);
    }
}
