using Proxy.Config;
using Proxy.Dialects.OpenAiChat;
using Proxy.Http;
using Proxy.Store;
using Proxy.Store.Spooling;
using Proxy.Streams;

namespace Proxy.Composition.Features;

/// <summary>The record of every finished generation, and what is read from it. Without <c>[store]</c>, its URLs say that there is none.</summary>
internal static class StoreFeature
{
    public static void Add(PartsBuilder parts)
    {
        var dialect = new OpenAiChatClientDialect();
        parts.FixedSettings.Add(new("[store]", static config => config.Store));
        if (parts.Config.Store is not { } config)
        {
            Serve(new UsageEndpoints(null, null, [], dialect, parts.Exchange));
            return;
        }

        var (log, time) = (parts.Exchange.Log, parts.Exchange.Time);
        var (store, spool) = RecordStores.CreateServing(config, log, time);
        var writer = new RecordWriter(store, RecordStores.Place(config), log, time);
        (parts.Store, parts.Artifacts) = (store, new ArtifactWriter(writer, time));
        parts.Owned.Push(writer);
        parts.Background.Add(writer.RunAsync);
        parts.Degraded.Add(() => writer.Problem is { } problem ? $"calls are served without a record: {problem}" : null);
        if (spool is not null) Add(parts, spool);
        parts.Exchange.Metrics.Add(() =>
        [
            new("proxy_records_lost_total", "Records that could not be written.", "", writer.Lost + (spool?.Lost ?? 0)),
            new("proxy_store_commits_total", "Transactions of records.", "", writer.Commits),
            new("proxy_store_waiting", "Records that wait for the store.", "", writer.Waiting),
            new("proxy_store_up", "1 while records can be written.", "", writer.Problem is null ? 1 : 0),
        ]);
        parts.Exchange.Follow.Add((call, taps, gates) =>
        {
            var content = config.Content ? new ContentTap(call.Routed.Call.OriginalBody?.ToArray()) : null;
            if (content is not null) taps.Add(content);
            if (call.Journal is { Origin.Key: not null } journal) gates.Add(new KeyRecord(call, journal, call.Routed.Call.OriginalBody?.ToArray(), time));
            gates.Add(new RecordGate(call, writer, content, time));
        });
        Serve(new UsageEndpoints(store, writer, parts.Forgets, dialect, parts.Exchange));

        void Serve(UsageEndpoints usage)
        {
            parts.Endpoints.AddRange(usage.Rows);
            parts.AdminRows.AddRange(usage.AdminRows);
        }
    }

    private static void Add(PartsBuilder parts, SpoolingStore spool)
    {
        parts.Degraded.Add(() => spool.Problem is { } problem ? $"{spool.SpooledRows} records wait on this machine's disk for PostgreSQL: {problem}" : null);
        parts.Exchange.Metrics.Add(() =>
        [
            new("proxy_spool_active", "1 while records are spooled because PostgreSQL cannot be used.", "", spool.Problem is null ? 0 : 1),
            new("proxy_spool_records", "Records that wait in the spool.", "", spool.SpooledRows),
            new("proxy_spool_bytes", "Bytes that the spool takes up.", "", spool.SpooledBytes),
        ]);
    }
}
