using Proxy.Dialects.OpenAiChat;
using Proxy.Http;
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
        parts.Exchange.Metrics.Add(() => (Gauge[])
        [
            new("proxy_streams_kept", "Answers kept in memory, running ones included.", "", journals.Count),
            new("proxy_streams_bytes", "Bytes of answers kept in memory.", "", journals.Used),
        ]);
    }
}
