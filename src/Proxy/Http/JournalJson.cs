using System.Text.Json;
using Proxy.Chat;
using Proxy.Dialects;
using Proxy.Dialects.Events;
using Proxy.Streams;

namespace Proxy.Http;

/// <summary>Journals as JSON: without their frames where they are kept outside this process, and as rows of listings.</summary>
internal static class JournalJson
{
    /// <summary>Writes the members that describe the call.</summary>
    public static void WriteOrigin(Utf8JsonWriter json, JournalOrigin origin)
    {
        json.WriteString("trace_id", origin.TraceId);
        json.WriteString("owner", origin.Owner);
        json.WriteString("client", origin.Dialect.Name.ToString());
        json.WriteString("surface", origin.Surface);
        json.WriteString("model", origin.Model);
        json.WriteBoolean("client_streams", origin.Streams);
        json.WriteNumber("created", origin.Created.ToUnixTimeMilliseconds());
        json.WriteString("digest", origin.Digest);
        if (origin.Key is { } key) json.WriteString("key", key);
        json.WriteBoolean("numbered", origin.Resumable);
    }

    /// <summary>Reads what <see cref="WriteOrigin"/> wrote; null: a newer version wrote it.</summary>
    public static JournalOrigin? ReadOrigin(JsonElement said) =>
        Enum.TryParse<DialectName>(Text(said, "client"), out var name) && DialectTable.Client(name) is { } dialect
            ? new JournalOrigin(Text(said, "trace_id") ?? "", Text(said, "owner") ?? "", dialect, Text(said, "surface") ?? "", Text(said, "model") ?? "",
                Flag(said, "client_streams"), DateTimeOffset.FromUnixTimeMilliseconds(Number(said, "created")))
            {
                Digest = Text(said, "digest") ?? "",
                Key = Text(said, "key"),
                Resumable = Flag(said, "numbered"),
            }
            : null;

    /// <summary>Writes the members that describe the answer. The request, which some dialects repeat in their answers, is kept beside them.</summary>
    public static void WriteHead(Utf8JsonWriter json, AnswerHead head)
    {
        json.WriteNumber("status", head.Status);
        json.WriteString("backend", head.Backend);
        json.WriteString("served", head.ServedModel);
        json.WriteString("dialect", head.Dialect?.Name.ToString());
        json.WriteString("content_type", head.ContentType);
        WritePairs(json, "headers", head.Headers);
        WritePairs(json, "route_headers", head.RouteHeaders);
        json.WriteBoolean("streams", head.Streams);
        json.WriteBoolean("verbatim", head.Verbatim);
        json.WriteBoolean("whole", head.Whole);
        json.WriteBoolean("unasked_usage", head.UnaskedUsage);
        json.WriteString("stamp", head.Stamp.TraceId);
        json.WriteString("stamp_model", head.Stamp.Model);
        json.WriteNumber("stamped", head.Stamp.Created.UtcTicks);
        json.WriteBoolean("include_usage", head.Stamp.IncludeUsage);
        json.WriteString("run", head.Stamp.RunId);
        if (head.Stamp.Sources is { } sources) ProxyNote.WriteSources(json, sources, whole: true);
        if (head.Stamp.Search is { } search) json.WriteList("queries"u8, search.Queries);
        if (head.Refusal is { } refusal) WriteError(json, "refusal", refusal);
    }

    /// <summary>Reads what <see cref="WriteHead"/> wrote; null: there is none, or a newer version wrote it.</summary>
    /// <param name="said">The object.</param>
    /// <param name="request">The request that the answer repeats.</param>
    public static AnswerHead? ReadHead(JsonElement said, ChatRequest? request)
    {
        if (!said.TryGetProperty("status", out _) || !TryReadDialect(said, out var dialect)) return null;
        return new()
        {
            Status = (int)Number(said, "status"),
            Backend = Text(said, "backend") ?? "",
            ServedModel = Text(said, "served") ?? "",
            Dialect = dialect,
            ContentType = Text(said, "content_type"),
            Headers = ReadPairs(said, "headers"),
            RouteHeaders = ReadPairs(said, "route_headers"),
            Streams = Flag(said, "streams"),
            Verbatim = Flag(said, "verbatim"),
            Whole = Flag(said, "whole"),
            UnaskedUsage = Flag(said, "unasked_usage"),
            Refusal = said.TryGetProperty("refusal", out var refusal) ? ReadError(refusal) : null,
            Stamp = new(Text(said, "stamp") ?? "", new DateTimeOffset(Number(said, "stamped"), TimeSpan.Zero), Text(said, "stamp_model") ?? "")
            {
                IncludeUsage = Flag(said, "include_usage"),
                RunId = Text(said, "run"),
                Sources = said.TryGetProperty("sources", out _) ? [.. EventSchemaReader.Sources(said)] : null,
                Search = said.TryGetProperty("queries", out var queries) && queries.ValueKind is JsonValueKind.Array
                    ? new SearchNote([.. queries.EnumerateArray().Select(static query => query.GetString() ?? "")]) : null,
                Request = request,
            },
        };
    }

    /// <summary>Writes how the answer ended.</summary>
    public static void WriteEnd(Utf8JsonWriter json, GenerationEnd end)
    {
        json.WriteString("end", end.Kind.ToString());
        if (end.Error is { } error) WriteError(json, "error", error);
    }

    public static GenerationEnd ReadEnd(JsonElement said) => new(
        Enum.TryParse<EndKind>(Text(said, "end"), out var kind) ? kind : EndKind.BrokeOff, null,
        said.TryGetProperty("error", out var error) ? ReadError(error) : null);

    /// <summary>Writes a row of a listing.</summary>
    public static void WriteRow(Utf8JsonWriter json, AnswerJournal journal, DateTimeOffset now)
    {
        var origin = journal.Origin;
        json.WriteStartObject();
        json.WriteString("id", origin.TraceId);
        json.WriteString("object", "stream");
        json.WriteNumber("created", origin.Created.ToUnixTimeSeconds());
        json.WriteString("owner", origin.Owner);
        json.WriteString("surface", origin.Surface);
        json.WriteString("model", origin.Model);
        json.WriteString("status", journal.State switch
        {
            JournalState.Pending => "waiting",
            JournalState.Running => "running",
            JournalState.Finished => "finished",
            _ => "failed",
        });
        json.WriteNumber("bytes", journal.Length);
        json.WriteNumber("age_ms", (long)(now - origin.Created).TotalMilliseconds);
        json.WriteEndObject();
    }

    public static string? Text(JsonElement value, string name) =>
        value.TryGetProperty(name, out var text) && text.ValueKind is JsonValueKind.String ? text.GetString() : null;

    public static bool Flag(JsonElement value, string name) => value.TryGetProperty(name, out var flag) && flag.ValueKind is JsonValueKind.True;

    public static long Number(JsonElement value, string name) =>
        value.TryGetProperty(name, out var number) && number.ValueKind is JsonValueKind.Number ? number.GetInt64() : 0;

    /// <summary>The dialect of the frames; null: events. False: one that this version does not know.</summary>
    private static bool TryReadDialect(JsonElement said, out BackendDialect? dialect)
    {
        dialect = null;
        if (Text(said, "dialect") is not { } name) return true;
        dialect = Enum.TryParse<DialectName>(name, out var known) ? DialectTable.Backend(known) : null;
        return dialect is not null;
    }

    private static void WriteError(Utf8JsonWriter json, string name, ProxyError error)
    {
        json.WriteStartObject(name);
        json.WriteString("kind", error.Kind.ToString());
        json.WriteString("message", error.Message);
        json.WriteString("code", error.Code);
        json.WriteString("param", error.Param);
        json.WriteString("type", error.HostType);
        json.WriteString("model", error.Model);
        json.WriteNumber("status", error.Status);
        json.WriteEndObject();
    }

    private static ProxyError ReadError(JsonElement said) => new(
        Enum.TryParse<ProxyErrorKind>(Text(said, "kind"), out var kind) ? kind : ProxyErrorKind.HostFailed, Text(said, "message") ?? "")
    {
        Code = Text(said, "code"),
        Param = Text(said, "param"),
        HostType = Text(said, "type"),
        Model = Text(said, "model"),
        Status = (int)Number(said, "status"),
    };

    private static void WritePairs(Utf8JsonWriter json, string name, IReadOnlyList<KeyValuePair<string, string>> pairs)
    {
        if (pairs.Count == 0) return;
        json.WriteStartArray(name);
        foreach (var (key, value) in pairs)
        {
            json.WriteStringValue(key);
            json.WriteStringValue(value);
        }

        json.WriteEndArray();
    }

    private static KeyValuePair<string, string>[] ReadPairs(JsonElement said, string name)
    {
        if (!said.TryGetProperty(name, out var list)) return [];
        var texts = list.EnumerateArray().Select(static text => text.GetString() ?? "");
        return [.. texts.Chunk(2).Select(static pair => new KeyValuePair<string, string>(pair[0], pair[1]))];
    }
}
