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
        if (row.Request is not { } body || Text(meta, "kind") is not "response" || DialectOf(meta, out var dialect) is false) return null;
        var (surface, model) = (Text(meta, "surface") ?? "", Text(meta, "model") ?? "");
        var terms = new KeepingTerms(IsStored: true, Flag(meta, "background"), Text(meta, "previous"));
        var request = new KeptRequest(KeptResponses.NameOf(row.TraceId), body, (int)Number(meta, "earlier"), terms, Flag(meta, "at_once"));
        var origin = new JournalOrigin(row.TraceId, row.Owner, KeptResponses.Dialect, surface, model, Flag(meta, "client_streams"), row.CreatedAt)
        {
            Request = request,
            Resumable = Flag(meta, "numbered"),
            Keep = keep,
        };
        KeptResponses.Dialect.ReadRequest(body, out var parsed);
        var head = new AnswerHead
        {
            Status = 200,
            Backend = Text(meta, "backend") ?? "",
            ServedModel = Text(meta, "served") ?? "",
            Dialect = dialect,
            ContentType = Text(meta, "content_type"),
            Streams = Flag(meta, "streams"),
            Verbatim = Flag(meta, "verbatim"),
            Whole = Flag(meta, "whole"),
            UnaskedUsage = Flag(meta, "unasked_usage"),
            Stamp = new ReplyStamp(row.TraceId, DateTimeOffset.FromUnixTimeMilliseconds(Number(meta, "stamped")), model)
            {
                IncludeUsage = Flag(meta, "include_usage"),
                RunId = Text(meta, "run"),
                Request = parsed,
                Terms = terms,
            },
        };
        var restored = journals.Restore(origin, journal =>
        {
            journal.Begin(head);
            journal.Append(row.Frames);
            journal.End(EndOf(meta));
        });
        if (row.HostId is { } id) journals.Name(restored, id);
        return restored;
    }

    private static void Write(Utf8JsonWriter json, AnswerJournal journal, GenerationEnd end)
    {
        var (origin, head, request) = (journal.Origin, journal.Head!, journal.Origin.Request!);
        json.WriteStartObject();
        json.WriteString("kind", "response");
        json.WriteString("surface", origin.Surface);
        json.WriteString("model", origin.Model);
        json.WriteBoolean("client_streams", origin.Streams);
        json.WriteBoolean("numbered", origin.Resumable);
        json.WriteBoolean("background", request.Terms.IsBackground);
        json.WriteString("previous", request.Terms.Previous);
        json.WriteNumber("earlier", request.Earlier);
        json.WriteBoolean("at_once", request.AnswersAtOnce);
        json.WriteString("backend", head.Backend);
        json.WriteString("served", head.ServedModel);
        json.WriteString("dialect", head.Dialect?.Name.ToString());
        json.WriteString("content_type", head.ContentType);
        json.WriteBoolean("streams", head.Streams);
        json.WriteBoolean("verbatim", head.Verbatim);
        json.WriteBoolean("whole", head.Whole);
        json.WriteBoolean("unasked_usage", head.UnaskedUsage);
        json.WriteNumber("stamped", head.Stamp.Created.ToUnixTimeMilliseconds());
        json.WriteBoolean("include_usage", head.Stamp.IncludeUsage);
        json.WriteString("run", head.Stamp.RunId);
        json.WriteString("end", end.Kind.ToString());
        if (end.Error is { } error)
        {
            json.WriteStartObject("error");
            json.WriteString("kind", error.Kind.ToString());
            json.WriteString("message", error.Message);
            json.WriteString("code", error.Code);
            json.WriteNumber("status", error.Status);
            json.WriteEndObject();
        }

        json.WriteEndObject();
    }

    private static GenerationEnd EndOf(JsonElement meta)
    {
        var kind = Enum.TryParse<EndKind>(Text(meta, "end"), out var read) ? read : EndKind.BrokeOff;
        if (!meta.TryGetProperty("error", out var error)) return new(kind, null);
        var why = Enum.TryParse<ProxyErrorKind>(Text(error, "kind"), out var known) ? known : ProxyErrorKind.HostFailed;
        return new(kind, null, new(why, Text(error, "message") ?? "") { Code = Text(error, "code"), Status = (int)Number(error, "status") });
    }

    /// <summary>The dialect of the frames; null: events. False: one that this version does not know.</summary>
    private static bool DialectOf(JsonElement meta, out BackendDialect? dialect)
    {
        dialect = null;
        if (Text(meta, "dialect") is not { } name) return true;
        dialect = Enum.TryParse<DialectName>(name, out var known) ? DialectTable.Backend(known) : null;
        return dialect is not null;
    }

    private static string? Text(JsonElement value, string name) =>
        value.TryGetProperty(name, out var text) && text.ValueKind is JsonValueKind.String ? text.GetString() : null;

    private static bool Flag(JsonElement value, string name) => value.TryGetProperty(name, out var flag) && flag.ValueKind is JsonValueKind.True;

    private static long Number(JsonElement value, string name) =>
        value.TryGetProperty(name, out var number) && number.ValueKind is JsonValueKind.Number ? number.GetInt64() : 0;
}
