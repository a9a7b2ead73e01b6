using System.Text.Json;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects;
using Proxy.Streams;

namespace Proxy.Http.Responses;

/// <summary>A kept response as a row of the store, and a row as a kept response. The row's <see cref="AnswerRow.Meta"/> is one JSON object.</summary>
internal static class StoredResponse
{
    /// <summary>The row of a response that is about to end.</summary>
    public static AnswerRow Row(AnswerJournal journal, string? hostId, byte[] frames, GenerationEnd end, DateTimeOffset expires)
    {
        using var meta = new PooledBody();
        using (var json = WireJson.NewWriter(meta)) Write(json, journal, end);
        return new()
        {
            TraceId = journal.Origin.TraceId,
            Owner = journal.Origin.Owner,
            HostId = hostId,
            Meta = meta.Span.ToArray(),
            Frames = frames,
            Request = journal.Origin.Request!.Body,
            CreatedAt = journal.Origin.Created,
            ExpiresAt = expires,
        };
    }

    /// <summary>Puts a row's response into memory, where it stays for a while. Null: the row is no response, or one of a newer version.</summary>
    public static AnswerJournal? Restore(AnswerRow row, JournalTable journals, TimeSpan keep)
    {
        var meta = WireJson.Parse(row.Meta);
        if (row.Request is not { } body || JournalJson.Text(meta, "kind") is not "response") return null;
        KeptResponses.Dialect.ReadRequest(body, out var parsed);
        if (JournalJson.ReadOrigin(meta) is not { } origin || JournalJson.ReadHead(meta, parsed) is not { } head) return null;
        var terms = new KeepingTerms(IsStored: true, JournalJson.Flag(meta, "background"), JournalJson.Text(meta, "previous"));
        var earlier = (int)JournalJson.Number(meta, "earlier");
        var request = new KeptRequest(KeptResponses.NameOf(row.TraceId), body, earlier, terms, JournalJson.Flag(meta, "at_once"));
        var restored = journals.Restore(origin with { Request = request, Keep = keep, Digest = "", Key = null }, journal =>
        {
            journal.Begin(head with { Stamp = head.Stamp with { Terms = terms } });
            journal.Append(row.Frames);
            journal.End(JournalJson.ReadEnd(meta));
        });
        if (row.HostId is { } id) journals.Name(restored, id);
        return restored;
    }

    private static void Write(Utf8JsonWriter json, AnswerJournal journal, GenerationEnd end)
    {
        var request = journal.Origin.Request!;
        json.WriteStartObject();
        json.WriteString("kind", "response");
        json.WriteBoolean("background", request.Terms.IsBackground);
        json.WriteString("previous", request.Terms.Previous);
        json.WriteNumber("earlier", request.Earlier);
        json.WriteBoolean("at_once", request.AnswersAtOnce);
        JournalJson.WriteOrigin(json, journal.Origin);
        JournalJson.WriteHead(json, journal.Head!);
        JournalJson.WriteEnd(json, end);
        json.WriteEndObject();
    }
}
