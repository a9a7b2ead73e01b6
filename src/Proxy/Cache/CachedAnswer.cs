using Proxy.Chat;
using Proxy.Dialects.Events;

namespace Proxy.Cache;

/// <summary>What an answer is found by: the owner who may have it (empty: everyone), and the digest of the request.</summary>
internal readonly record struct CacheKey(string Owner, string RequestId);

/// <summary>An answer that can be given again. <paramref name="Lines"/> are its events in the event schema, one JSON object a line.</summary>
internal sealed record CachedAnswer(byte[] Lines, DateTimeOffset ExpiresAt)
{
    /// <summary>The events of a new answer: it has an id and a time of its own.</summary>
    public List<ChatEvent> Replay()
    {
        var (reader, events) = (new EventSchemaReader(), new List<ChatEvent>());
        for (var rest = Lines.AsSpan(); !rest.IsEmpty;)
        {
            var end = rest.IndexOf((byte)'\n');
            reader.Read(end < 0 ? rest : rest[..end], events);
            rest = end < 0 ? [] : rest[(end + 1)..];
        }

        for (var i = 0; i < events.Count; i++)
        {
            if (events[i] is ChatEvent.Started started) events[i] = started with { Id = null, Created = null };
        }

        return events;
    }
}
