using Proxy.Dialects.OpenAiChat;
using Proxy.Http;
using Proxy.Http.Shared;
using Proxy.Streams;
using Proxy.Telemetry;

namespace Proxy.Composition.Features;

/// <summary>Answers that can be read again: the resumable ones, and those that wait for a retry.</summary>
internal static class StreamsFeature
{
    public static void Add(PartsBuilder parts)
    {
        var journals = parts.Exchange.Sharing.Journals;
        var streams = new StreamEndpoints(new OpenAiChatClientDialect(), parts.Exchange);
        parts.Endpoints.AddRange(streams.Rows);
        parts.Endpoints.AddRange(new ConversationEndpoints(new OpenAiChatClientDialect(), parts.Exchange).Rows);
        parts.AdminRows.AddRange(streams.OperatorRows);
        parts.Exchange.Sharing.Store = () => parts.Store;
        parts.Forgets.Add(journals.RemoveFinished);
        parts.FixedSettings.Add(new("[streams] journal", static config => config.Streams.Journal));
        if (parts.Journals is { } store) Share(parts, store);
        parts.Exchange.Metrics.Add(() => (Gauge[])
        [
            new("proxy_streams_kept", "Answers kept in memory, running ones included.", "", journals.Count),
            new("proxy_streams_bytes", "Bytes of answers kept in memory.", "", journals.Used),
        ]);
    }

    /// <summary>Writes journals where other proxies find them, and reads theirs.</summary>
    private static void Share(PartsBuilder parts, ISharedJournals store)
    {
        var exchange = parts.Exchange;
        var shared = new SharedJournals(
            store, exchange.Sharing.Journals, () => parts.Directory.Table.Config.Streams, exchange.Calls, exchange.Log, exchange.Time);
        exchange.Sharing.Shared = shared;
        parts.Owned.Push(shared);
        exchange.Follow.Add((call, _, gates) =>
        {
            if (call.Journal is not { } journal || shared.Ship(journal) is not { } shipper) return;
            shipper.Request = call.Routed.Call.OriginalBody?.ToArray();
            gates.Add(shipper);
        });
        exchange.Metrics.Add(() =>
        [
            new("proxy_journal_messages_total", "Messages written to shared journals.", "", shared.Messages),
            new("proxy_journal_unstored_total", "Answers that ended before all of them was in their shared journal.", "", shared.Unstored),
            new("proxy_journal_lost_total", "Shared journals that could not be written on.", "", shared.LostJournals),
            new("proxy_journal_mirrors", "Answers that are read from shared journals at present.", "", shared.Mirrors),
        ]);
    }
}
