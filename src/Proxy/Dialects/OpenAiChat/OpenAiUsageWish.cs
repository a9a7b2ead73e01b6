using System.Buffers;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OpenAiChat;

/// <summary>
/// Adds <c>stream_options.include_usage</c> to a streamed request whose client did not set it. Without it OpenAI's dialect reports no token counts in a stream,
/// and the call's usage could not be accounted for.
/// </summary>
internal static class OpenAiUsageWish
{
    private static readonly ReadOnlyMemory<byte> Member = "\"stream_options\":{\"include_usage\":true},"u8.ToArray();
    private static readonly ReadOnlyMemory<byte> Whole = "{\"include_usage\":true}"u8.ToArray();
    private static readonly ReadOnlyMemory<byte> First = "\"include_usage\":true,"u8.ToArray();

    public static BodyEdit? In(ReadOnlySpan<byte> body, ChatEnvelope envelope)
    {
        if (envelope.Stream is not true || envelope.IncludeUsage) return null;
        if (envelope.StreamOptionsSlice is not { } slice)
        {
            var inside = body.IndexOf((byte)'{') + 1; // the body holds at least "model", so a comma after the insertion is correct
            return new(inside..inside, Member);
        }

        var options = body[slice];
        if (options.SequenceEqual("null"u8)) return new(slice, Whole);
        if (options[0] != '{') return null; // not an object: the host rejects it with its own message
        return new(slice, options[1..^1].Trim(" \t\r\n"u8).IsEmpty ? Whole : Rewritten(options));
    }

    /// <summary>True for the chunk that carries only the counts. It comes last and has <c>"choices": []</c>.</summary>
    public static bool OnlyCounts(ReadOnlySpan<byte> frame)
    {
        var at = frame.IndexOf("\"choices\""u8);
        if (at < 0) return false;
        var rest = frame[(at + 9)..].TrimStart(" \t\r\n"u8);
        if (rest is not [(byte)':', ..]) return false;
        rest = rest[1..].TrimStart(" \t\r\n"u8);
        return rest is [(byte)'[', ..] && rest[1..].TrimStart(" \t\r\n"u8) is [(byte)']', ..];
    }

    private static ReadOnlyMemory<byte> Rewritten(ReadOnlySpan<byte> options)
    {
        if (options.IndexOf("include_usage"u8) < 0 && !options.Contains((byte)'\\')) return (byte[])[(byte)'{', .. First.Span, .. options[1..]];

        var reader = new Utf8JsonReader(options);
        using var document = JsonDocument.ParseValue(ref reader);
        var text = new ArrayBufferWriter<byte>(options.Length + 32);
        using var json = new Utf8JsonWriter(text);
        json.WriteStartObject();
        json.WriteBoolean("include_usage"u8, true);
        foreach (var member in document.RootElement.EnumerateObject())
        {
            if (!member.NameEquals("include_usage"u8)) member.WriteTo(json);
        }

        json.WriteEndObject();
        json.Flush();
        return text.WrittenMemory;
    }
}
