using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.Anthropic;

/// <summary>Names and small shapes of Anthropic's messages that readers and writers share.</summary>
internal static class AnthropicJson
{
    public const string StreamContentType = "text/event-stream; charset=utf-8";
    public const string WholeContentType = "application/json";

    /// <summary>The answer's id if the host gave none.</summary>
    public static string IdOf(ReplyStamp stamp) => $"msg_{stamp.TraceId}";

    /// <summary>The id of a call to which the host gave none. Always the same for the same answer and index.</summary>
    public static string CallIdOf(ReplyStamp stamp, int index) =>
        string.Create(System.Globalization.CultureInfo.InvariantCulture, $"toolu_{stamp.TraceId}{index}");

    public static string Word(FinishReason reason) => reason switch
    {
        FinishReason.Length => "max_tokens",
        FinishReason.ToolCalls => "tool_use",
        FinishReason.ContentFilter => "refusal",
        _ => "end_turn",
    };

    public static FinishReason Reason(string? word) => word switch
    {
        "max_tokens" or "model_context_window_exceeded" => FinishReason.Length,
        "tool_use" => FinishReason.ToolCalls,
        "refusal" => FinishReason.ContentFilter,
        _ => FinishReason.Stop, // "stop_sequence" and "pause_turn"
    };

    /// <summary>
    /// Writes <c>stop_reason</c> and <c>stop_sequence</c>. The event's opaque part holds the host's own word if it is more specific than <see cref="Word"/>'s.
    /// </summary>
    public static void WriteStop(Utf8JsonWriter json, FinishReason reason, JsonElement? opaque)
    {
        var sequence = opaque.Member("stop_sequence"u8);
        if (opaque.Member("stop_reason"u8) is { ValueKind: JsonValueKind.String } word) json.WriteString("stop_reason"u8, word.GetString());
        else json.WriteString("stop_reason"u8, sequence is not null && reason is FinishReason.Stop ? "stop_sequence" : Word(reason));
        if (sequence is { } matched) json.WriteAsItCame("stop_sequence", matched);
        else json.WriteNull("stop_sequence"u8);
    }

    /// <summary>Writes that the model itself calls the tool, not a program that the model wrote. Some clients require this member.</summary>
    public static void WriteCaller(Utf8JsonWriter json) => json.WriteObject("caller"u8, "type"u8, "direct");

    /// <summary>True for the member that <see cref="WriteCaller"/> writes. Clients send it back; it carries no information.</summary>
    public static bool IsDirectCaller(JsonProperty member) =>
        member.NameEquals("caller"u8) && member.Value.ValueKind is JsonValueKind.Object && member.Value.TryGetProperty("type"u8, out var type)
            && type.ValueKind is JsonValueKind.String && type.ValueEquals("direct"u8);

    /// <summary>Writes the token counts. In this dialect <c>input_tokens</c> excludes tokens read from the cache or written to it.</summary>
    public static void WriteUsage(Utf8JsonWriter json, Usage? usage)
    {
        json.WriteStartObject("usage"u8);
        json.WriteNumber("input_tokens"u8, Math.Max(0, (usage?.InputTokens ?? 0) - (usage?.CachedInputTokens ?? 0) - (usage?.CacheWrittenTokens ?? 0)));
        json.WriteOptional("cache_creation_input_tokens"u8, usage?.CacheWrittenTokens);
        json.WriteOptional("cache_read_input_tokens"u8, usage?.CachedInputTokens);
        json.WriteNumber("output_tokens"u8, usage?.OutputTokens ?? 0);
        if (usage?.ReasoningTokens is { } reasoning) json.WriteObject("output_tokens_details"u8, "thinking_tokens"u8, reasoning);
        json.WriteEndObject();
    }

    /// <summary>Reads the usage object that follows. Null if it holds no counts.</summary>
    public static Usage? ReadUsage(ref Utf8JsonReader json)
    {
        if (!json.Enter(JsonTokenType.StartObject)) return null;
        int? input = null, output = null, cached = null, written = null, reasoning = null;
        while (json.Read() && json.TokenType is JsonTokenType.PropertyName)
        {
            if (json.ValueTextEquals("input_tokens"u8)) input = UsageJson.ReadCount(ref json);
            else if (json.ValueTextEquals("output_tokens"u8)) output = UsageJson.ReadCount(ref json);
            else if (json.ValueTextEquals("cache_read_input_tokens"u8)) cached = UsageJson.ReadCount(ref json);
            else if (json.ValueTextEquals("cache_creation_input_tokens"u8)) written = UsageJson.ReadCount(ref json);
            else if (json.ValueTextEquals("output_tokens_details"u8)) reasoning = UsageJson.ReadDetail(ref json, "thinking_tokens"u8);
            else json.Skip();
        }

        if (input is null && output is null) return null;
        return new Usage((input ?? 0) + (cached ?? 0) + (written ?? 0), output ?? 0)
        {
            CachedInputTokens = cached,
            CacheWrittenTokens = written,
            ReasoningTokens = reasoning
        };
    }

    /// <summary>Finds the token counts in a frame or body. Null if there are none.</summary>
    public static Usage? FindUsage(ReadOnlySpan<byte> frame)
    {
        while (UsageJson.TryFind(ref frame, out var counts))
        {
            try
            {
                var json = new Utf8JsonReader(counts, WireJson.Reading);
                if (ReadUsage(ref json) is { } usage) return usage;
            }
            catch (Exception problem) when (problem is JsonException or InvalidOperationException) // not JSON, or a text that is not Unicode
            {
                // A malformed frame from the host is still passed on to the client; only its counts are ignored.
            }
        }

        return null;
    }
}
