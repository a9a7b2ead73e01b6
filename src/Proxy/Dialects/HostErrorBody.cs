using System.Text;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects;

/// <summary>
/// Reads a host's error. Even hosts of one dialect use different forms (OpenAI's object, Ollama's string, FastAPI's <c>detail</c>, an engine's error as JSON
/// text inside the server's error), so every form is tried for every dialect.
/// </summary>
internal static class HostErrorBody
{
    private const int LongestQuote = 300;

    /// <summary>Only this many bytes of a body are looked at for a quotation.</summary>
    private const int LongestLook = 4096;

    /// <summary>The deepest nesting that is searched. An engine's error is often wrapped in a server's error, but never this deep.</summary>
    private const int DeepestWrapping = 8;

    public static HostError Read(ReadOnlySpan<byte> body)
    {
        HostError? said = null;
        try
        {
            if (TryParse(body) is { } document) said = Find(document, 0);
        }
        catch (InvalidOperationException)
        {
            // Valid JSON, but one of its strings is not valid Unicode: the body is quoted as text.
        }

        return Recognised(said is null ? new HostError(Quote(body)) : said with { Message = Cleaned(said.Message) });
    }

    private static HostError? Find(JsonElement value, int depth)
    {
        if (depth > DeepestWrapping) return null;
        if (value.ValueKind is JsonValueKind.String)
        {
            var text = value.GetString()!;
            if (text.AsSpan().TrimStart().StartsWith('{') && TryParse(Encoding.UTF8.GetBytes(text)) is { } wrapped && Find(wrapped, depth + 1) is { } inner)
                return inner;
            return text.Length > 0 ? new HostError(text) : null;
        }

        if (value.ValueKind is JsonValueKind.Array) return FindInList(value, depth);
        if (value.ValueKind is not JsonValueKind.Object) return null;

        var message = Wrapped(value, "error"u8, depth) ?? Wrapped(value, "message"u8, depth) ?? Wrapped(value, "detail"u8, depth)
            ?? Wrapped(value, "msg"u8, depth);
        if (message is null) return null;

        var code = Text(value, "code"u8);
        var status = Number(value, "status"u8) ?? Number(value, "code"u8);
        return message with
        {
            Type = message.Type ?? Text(value, "type"u8) ?? Text(value, "error_type"u8),
            Code = message.Code ?? code,
            Param = message.Param ?? Text(value, "param"u8),
            Status = message.Status ?? (status is >= 400 and <= 599 ? status : null),
        };
    }

    // FastAPI's list of validation errors: { "loc": ["body", "messages", 0], "msg": "…" }
    private static HostError? FindInList(JsonElement list, int depth)
    {
        foreach (var item in list.EnumerateArray())
        {
            if (Find(item, depth + 1) is not { } found) continue;
            if (item.ValueKind is not JsonValueKind.Object || !item.TryGetProperty("loc"u8, out var where) || where.ValueKind is not JsonValueKind.Array)
                return found;
            var path = string.Join('.', where.EnumerateArray().Select(step => step.ToString()).Where(step => step != "body"));
            return found with { Param = path, Message = $"{path}: {found.Message}", Type = null };
        }

        return null;
    }

    private static HostError? Wrapped(JsonElement value, ReadOnlySpan<byte> name, int depth) =>
        value.TryGetProperty(name, out var inner) ? Find(inner, depth + 1) : null;

    private static string? Text(JsonElement value, ReadOnlySpan<byte> name) =>
        value.TryGetProperty(name, out var text) && text.ValueKind is JsonValueKind.String && text.GetString() is { Length: > 0 } said ? said : null;

    private static int? Number(JsonElement value, ReadOnlySpan<byte> name) =>
        value.TryGetProperty(name, out var number) && number.ValueKind is JsonValueKind.Number && number.TryGetInt32(out var whole) ? whole : null;

    /// <summary>Sets the code <c>context_length_exceeded</c>, on which agents shorten their history. Each host reports this error in its own way.</summary>
    private static HostError Recognised(HostError said)
    {
        if (said.Code is "context_length_exceeded") return said;
        var tooLong = said.Type is "exceed_context_size_error"
            || said.Message.Contains("maximum context length", StringComparison.OrdinalIgnoreCase)
            || said.Message.Contains("exceeds the available context size", StringComparison.OrdinalIgnoreCase)
            || said.Message.Contains("exceeds the context", StringComparison.OrdinalIgnoreCase)
            || said.Message.Contains("prompt is too long", StringComparison.OrdinalIgnoreCase);
        return tooLong ? said with { Code = "context_length_exceeded" } : said;
    }

    private static JsonElement? TryParse(ReadOnlySpan<byte> body)
    {
        try
        {
            var reader = new Utf8JsonReader(body, WireJson.Reading);
            return JsonElement.TryParseValue(ref reader, out var value) ? value : null;
        }
        catch (JsonException) // the reader throws this for invalid JSON
        {
            return null;
        }
    }

    private static string Quote(ReadOnlySpan<byte> body)
    {
        if (!IsText(body)) return $"the host answered with {body.Length} bytes that are not text";
        var start = Encoding.UTF8.GetString(body[..Math.Min(body.Length, LongestLook)]);
        var line = string.Join(' ', start.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries));
        if (line.Length == 0) return "the host gave no reason";
        return line.Length <= LongestQuote && body.Length <= LongestLook ? line : line[..Math.Min(line.Length, LongestQuote)] + " …";
    }

    /// <summary>
    /// True if the body can be quoted: it has no control characters except white space. A few bytes that are not UTF-8 may be text in another encoding; many
    /// are binary data.
    /// </summary>
    private static bool IsText(ReadOnlySpan<byte> body)
    {
        foreach (var next in body)
        {
            if (next is < 0x20 and not ((byte)'\t' or (byte)'\n' or (byte)'\r' or (byte)'\f') or 0x7f) return false;
        }

        var start = body[..Math.Min(body.Length, LongestQuote)];
        return Encoding.UTF8.GetString(start).AsSpan().Count('\uFFFD') * 8 <= start.Length;
    }

    /// <summary>Replaces control characters, because logs and clients show the message as it is.</summary>
    private static string Cleaned(string message) => message.AsSpan().IndexOfAnyInRange('\0', '\u001f') < 0 && !message.Contains('\u007f')
        ? message
        : string.Concat(message.Select(static letter => letter is < ' ' and not ('\t' or '\n' or '\r') or '\u007f' ? ' ' : letter));
}
