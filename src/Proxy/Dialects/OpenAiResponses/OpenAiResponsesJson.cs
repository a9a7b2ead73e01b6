using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OpenAiResponses;

/// <summary>Names and small shapes of <c>/v1/responses</c> that readers and writers share.</summary>
internal static class OpenAiResponsesJson
{
    public const string EncryptedReasoning = "reasoning.encrypted_content";
    public const string SearchResults = "file_search_call.results";
    public const string LogProbabilities = "message.output_text.logprobs";

    /// <summary>The answer's id: the host's own if it has this dialect's form, otherwise a new one.</summary>
    public static string IdOf(ReplyStamp stamp, string? given) =>
        given is not null && given.StartsWith("resp_", StringComparison.Ordinal) ? given : $"resp_{stamp.TraceId}";

    public static string ItemId(string prefix, ReplyStamp stamp, int index) =>
        string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{prefix}_{stamp.TraceId}{index}");

    /// <summary>Writes the answer to <c>/v1/responses/input_tokens</c>.</summary>
    public static void WriteCount(long tokens, System.Buffers.IBufferWriter<byte> output)
    {
        using var json = WireJson.NewWriter(output);
        json.WriteStartObject();
        json.WriteString("object"u8, "response.input_tokens"u8);
        json.WriteNumber("input_tokens"u8, tokens);
        json.WriteEndObject();
    }

    public static void WriteUsage(Utf8JsonWriter json, Usage usage)
    {
        json.WriteStartObject();
        json.WriteNumber("input_tokens"u8, usage.InputTokens);
        json.WriteStartObject("input_tokens_details"u8);
        json.WriteNumber("cached_tokens"u8, usage.CachedInputTokens ?? 0);
        json.WriteNumber("cache_write_tokens"u8, usage.CacheWrittenTokens ?? 0);
        json.WriteEndObject();
        json.WriteNumber("output_tokens"u8, usage.OutputTokens);
        json.WriteStartObject("output_tokens_details"u8);
        json.WriteNumber("reasoning_tokens"u8, usage.ReasoningTokens ?? 0);
        json.WriteEndObject();
        json.WriteNumber("total_tokens"u8, usage.InputTokens + usage.OutputTokens);
        json.WriteEndObject();
    }

    /// <summary>Null if there are no counts. A detail of 0 often means "not counted", so it is left out.</summary>
    public static Usage? ReadUsage(JsonElement usage)
    {
        if (usage.ValueKind is not JsonValueKind.Object) return null;
        var input = Count(usage, "input_tokens"u8);
        var output = Count(usage, "output_tokens"u8);
        if (input is null && output is null) return null;
        return new Usage(input ?? 0, output ?? 0)
        {
            CachedInputTokens = Detail(usage, "input_tokens_details"u8, "cached_tokens"u8),
            CacheWrittenTokens = Detail(usage, "input_tokens_details"u8, "cache_write_tokens"u8) is > 0 and var written ? written : null,
            ReasoningTokens = Detail(usage, "output_tokens_details"u8, "reasoning_tokens"u8),
        };
    }

    /// <summary>Finds the token counts in a frame or body. Null if there are none.</summary>
    public static Usage? FindUsage(ReadOnlySpan<byte> frame)
    {
        while (UsageJson.TryFind(ref frame, out var counts))
        {
            try
            {
                if (ReadUsage(WireJson.Parse(counts)) is { } usage) return usage;
            }
            catch (Exception problem) when (problem is JsonException or InvalidOperationException) // not JSON, or a text that is not Unicode
            {
                // A malformed frame from the host is still passed on to the client; only its counts are ignored.
            }
        }

        return null;
    }

    /// <summary>The string member of an object. Null if there is none.</summary>
    public static string? Text(JsonElement value, ReadOnlySpan<byte> name) =>
        value.ValueKind is JsonValueKind.Object && value.TryGetProperty(name, out var text) && text.ValueKind is JsonValueKind.String ? text.GetString() : null;

    private static int? Detail(JsonElement usage, ReadOnlySpan<byte> details, ReadOnlySpan<byte> name) =>
        usage.TryGetProperty(details, out var inner) && inner.ValueKind is JsonValueKind.Object && Count(inner, name) is > 0 and var count ? count : null;

    private static int? Count(JsonElement value, ReadOnlySpan<byte> name) =>
        value.TryGetProperty(name, out var number) ? UsageJson.Count(number) : null;
}
