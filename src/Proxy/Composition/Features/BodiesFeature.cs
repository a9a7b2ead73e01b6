using Proxy.Streams;
using Proxy.Telemetry;

namespace Proxy.Composition.Features;

/// <summary>The log of chats' bodies, if the file asks for it.</summary>
internal static class BodiesFeature
{
    public static void Add(PartsBuilder parts)
    {
        parts.FixedSettings.Add(new("[log] bodies", static config => (config.Log.Bodies, config.Log.BodiesSize, config.Log.BodiesFiles)));
        if (parts.Config.Log is not { Bodies: { } path } config) return;
        var log = new BodyLog(path, config.BodiesSize, config.BodiesFiles, parts.Exchange.Log, parts.Exchange.Time);
        parts.Background.Add(log.RunAsync);
        parts.Exchange.Metrics.Add(() =>
        [
            new("proxy_bodies_written_total", "Bodies of calls that were logged.", "", log.Written),
            new("proxy_bodies_lost_total", "Bodies of calls that could not be logged.", "", log.Lost),
        ]);
        parts.Exchange.Follow.Add((call, taps, gates) =>
        {
            var tap = BodyTap.Begin(call, log);
            taps.Add(tap);
            gates.Add(tap);
        });
    }
}
