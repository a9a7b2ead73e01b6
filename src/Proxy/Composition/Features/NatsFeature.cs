using Proxy.Nats;
using Proxy.Telemetry;

namespace Proxy.Composition.Features;

/// <summary>Publishes calls to NATS, if the configuration names a server.</summary>
internal static class NatsFeature
{
    public static void Add(PartsBuilder parts)
    {
        parts.FixedSettings.Add(new("[nats]", static config => config.Nats));
        if (parts.Config.Nats is not { } config) return;

        var nats = new NatsParts(
            config, () => parts.Directory.Table.Config.Pipelines, parts.Config.Streams.Journal is "jetstream", parts.Exchange.Log, parts.Exchange.Time);
        var silent = new SilentKeys(() => parts.Directory.Table.Config);
        parts.Owned.Push(nats);
        parts.Bus = new WorkflowBus(nats);
        parts.Launchers.Add(nats.Jobs);
        parts.Background.Add(_ => nats.Link.ConnectAsync());
        if (nats.Journals is { } journals)
        {
            parts.Journals = journals;
            parts.Background.Add(journals.ListenAsync);
        }

        parts.Exchange.Follow.Add((call, taps, gates) =>
        {
            if (call.Info.Wishes?.Publish is not null || silent.Has(call.Info.Owner)) return;
            var publisher = new CallPublisher(nats, call);
            taps.Add(publisher);
            gates.Add(publisher);
        });
        parts.Details.Add(() => new("nats", nats.Link.IsUp, nats.Link.Reason));
        parts.Exchange.Metrics.Add(() =>
        [
            new("proxy_nats_up", "1 while there is a connection to NATS.", "", nats.Link.IsUp ? 1 : 0),
            new("proxy_nats_waiting_bytes", "Memory of what waits to be sent to NATS.", "", nats.Outbox.Waiting),
            new("proxy_nats_messages_total", "Messages sent to NATS.", "", nats.Outbox.Published),
            new("proxy_nats_dropped_total", "Messages that were not sent to NATS: too many were waiting, or it refused them.", "", nats.Outbox.Dropped),
            new("proxy_nats_truncated_total", "Messages to NATS that lost a part because they were too large.", "", nats.Cut),
        ]);
    }
}
