using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.Anthropic;

/// <summary>The words and small shapes of Anthropic's messages, both ways.</summary>
internal static class AnthropicJson
{
    public const string StreamContentType = "text/event-stream; charset=utf-8";
    public const string WholeContentType = "application/json";

    /// <summary>The answer's id where the host gave none.</summary>
    public static string IdOf(ReplyStamp stamp) => $"msg_{stamp.TraceId}";

    /// <summary>The id of a call whose host gave it none; the same whenever the same answer is written.</summary>
    public static string CallIdOf(ReplyStamp stamp, int index) => string.Create(System.Globalization.CultureInfo.InvariantCulture, $"toolu_{stamp.TraceId}{index}");

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
        _ => FinishReason.Stop, // stop_sequence, pause_turn
    };

    /// <summary>Writes <c>stop_reason</c> and <c>stop_sequence</c>. A host's own word stands in the event's opaque part where ours would be another.</summary>
    public static void WriteStop(Utf8JsonWriter json, FinishReason reason, JsonElement? opaque)
    {
        var sequence = opaque.Member("stop_sequence"u8);
        if (opaque.Member("stop_reason"u8) is { ValueKind: JsonValueKind.String } word) json.WriteString("stop_reason"u8, word.GetString());
        else json.WriteString("stop_reason"u8, sequence is not null && reason is FinishReason.Stop ? "stop_sequence" : Word(reason));
        if (sequence is { } matched) json.WriteAsItCame("stop_sequence", matched);
        else json.WriteNull("stop_sequence"u8);
    }

    /// <summary>Who calls the tool: the model itself, and not a program that it wrote. Some clients insist on it.</summary>
    public static void WriteCaller(Utf8JsonWriter json)
    {
        json.WriteStartObject("caller"u8);
        json.WriteString("type"u8, "direct"u8);
        json.WriteEndObject();
    }

    /// <summary>Whether it is what <see cref="WriteCaller"/> writes: clients send it back, and it says nothing.</summary>
    public static bool IsDirectCaller(JsonProperty member) =>
        member.NameEquals("caller"u8) && member.Value.ValueKind is JsonValueKind.Object && member.Value.TryGetProperty("type"u8, out var type) && type.ValueKind is JsonValueKind.String && type.ValueEquals("direct"u8);

    /// <summary>The counts: what came from the cache, or went there, is not among the input tokens here.</summary>
    public static void WriteUsage(Utf8JsonWriter json, Usage? usage)
    {
        json.WriteStartObject("usage"u8);
        json.WriteNumber("input_tokens"u8, Math.Max(0, (usage?.InputTokens ?? 0) - (usage?.CachedInputTokens ?? 0) - (usage?.CacheWrittenTokens ?? 0)));
        if (usage?.CacheWrittenTokens is { } written) json.WriteNumber("cache_creation_input_tokens"u8, written);
        if (usage?.CachedInputTokens is { } cached) json.WriteNumber("cache_read_input_tokens"u8, cached);
        json.WriteNumber("output_tokens"u8, usage?.OutputTokens ?? 0);
        if (usage?.ReasoningTokens is { } reasoning)
        {
            json.WriteStartObject("output_tokens_details"u8);
            json.WriteNumber("thinking_tokens"u8, reasoning);
            json.WriteEndObject();
        }

        json.WriteEndObject();
    }

    /// <summary>Reads the usage object at which the reader stands, to its end. Null when it counts nothing.</summary>
    public static Usage? ReadUsage(ref Utf8JsonReader json)
    {
        if (json.TokenType is not JsonTokenType.StartObject)
        {
            json.Skip();
            return null;
        }

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
        return new Usage((input ?? 0) + (cached ?? 0) + (written ?? 0), output ?? 0) { CachedInputTokens = cached, CacheWrittenTokens = written, ReasoningTokens = reasoning };
    }

    /// <summary>The counts in a frame or body; null where there are none.</summary>
    public static Usage? FindUsage(ReadOnlySpan<byte> frame)
    {
        while (UsageJson.TryFind(ref frame, out var counts))
        {
            try
            {
                var json = new Utf8JsonReader(counts, WireJson.Reading);
                json.Read();
                if (ReadUsage(ref json) is { } usage) return usage;
            }
            catch (JsonException)
            {
                // A host's broken frame is passed on; it only counts nothing.
            }
        }

        return null;
    }
}
