using System.Text;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects;

/// <summary>
/// Reads what a host says of its failure. The hosts of one dialect do not agree on a form (OpenAI's object, Ollama's string, FastAPI's <c>detail</c>, an engine's error
/// as JSON text inside the server's), so every form is looked for whatever the dialect.
/// </summary>
internal static class HostErrorBody
{
    private const int LongestQuote = 300;

    /// <summary>More of a body than this is not gone over for a quotation's sake.</summary>
    private const int LongestLook = 4096;

    /// <summary>Engines' errors come wrapped in servers' errors; deeper than this is no error's shape.</summary>
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
            // JSON in form, but a text in it is not Unicode: it is quoted as it is.
        }

        return Recognised(said is null ? new HostError(Quote(body)) : said with { Message = Cleaned(said.Message) });
    }

    private static HostError? Find(JsonElement value, int depth)
    {
        if (depth > DeepestWrapping) return null;
        if (value.ValueKind is JsonValueKind.String)
        {
            var text = value.GetString()!;
            if (text.AsSpan().TrimStart().StartsWith('{') && TryParse(Encoding.UTF8.GetBytes(text)) is { } wrapped && Find(wrapped, depth + 1) is { } inner) return inner;
            return text.Length > 0 ? new HostError(text) : null;
        }

        if (value.ValueKind is JsonValueKind.Array) return FindInList(value, depth);
        if (value.ValueKind is not JsonValueKind.Object) return null;

        var message = Wrapped(value, "error"u8, depth) ?? Wrapped(value, "message"u8, depth) ?? Wrapped(value, "detail"u8, depth) ?? Wrapped(value, "msg"u8, depth);
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

    // FastAPI's list of what is wrong: { "loc": ["body", "messages", 0], "msg": "…" }
    private static HostError? FindInList(JsonElement list, int depth)
    {
        foreach (var item in list.EnumerateArray())
        {
            if (Find(item, depth + 1) is not { } found) continue;
            if (item.ValueKind is not JsonValueKind.Object || !item.TryGetProperty("loc"u8, out var where) || where.ValueKind is not JsonValueKind.Array) return found;
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

    /// <summary>Agents shorten their history when they see this code, and hosts each have a way of their own to say it.</summary>
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
        catch (JsonException) // the reader's only way to say no
        {
            return null;
        }
    }

    private static string Quote(ReadOnlySpan<byte> body)
    {
        if (!IsText(body)) return $"the host answered with {body.Length} bytes that are no text";
        var start = Encoding.UTF8.GetString(body[..Math.Min(body.Length, LongestLook)]);
        var line = string.Join(' ', start.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries));
        if (line.Length == 0) return "the host gave no reason";
        return line.Length <= LongestQuote && body.Length <= LongestLook ? line : line[..Math.Min(line.Length, LongestQuote)] + " …";
    }

    /// <summary>Text has no control characters but white space. A few bytes that are no UTF-8 may be another alphabet's; many are none.</summary>
    private static bool IsText(ReadOnlySpan<byte> body)
    {
        foreach (var next in body)
        {
            if (next is < 0x20 and not ((byte)'\t' or (byte)'\n' or (byte)'\r' or (byte)'\f') or 0x7f) return false;
        }

        var start = body[..Math.Min(body.Length, LongestQuote)];
        return Encoding.UTF8.GetString(start).AsSpan().Count('\uFFFD') * 8 <= start.Length;
    }

    /// <summary>A message without control characters, for logs and clients that show it as it is.</summary>
    private static string Cleaned(string message) => message.AsSpan().IndexOfAnyInRange('\0', '\u001f') < 0 && !message.Contains('\u007f')
        ? message
        : string.Concat(message.Select(static letter => letter is < ' ' and not ('\t' or '\n' or '\r') or '\u007f' ? ' ' : letter));
}
