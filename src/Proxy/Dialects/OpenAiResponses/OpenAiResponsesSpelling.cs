using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OpenAiResponses;

/// <summary>Knows which parts of a request of <c>/v1/responses</c> say more to a host of this dialect than the parsed request holds.</summary>
internal static class OpenAiResponsesSpelling
{
    private static readonly string[] OfItem =
        ["type", "id", "status", "role", "content", "call_id", "name", "namespace", "arguments", "input", "output", "summary", "encrypted_content"];

    private static readonly string[] OfPart = ["type", "text", "refusal", "image_url", "detail", "annotations", "logprobs"];

    /// <inheritdoc cref="ClientDialect.IsOnlySpelling"/>
    public static bool IsOnlySpelling(string name, JsonElement value, ChatRequest request) => name switch
    {
        "input" => false, // only kept if the messages do not hold all of it
        "include" => value.EnumerateArray().All(static word =>
            word.ValueKind is JsonValueKind.String && word.ValueEquals(OpenAiResponsesJson.LogProbabilities)),
        "reasoning" => HasOnly(value, ["effort"]),
        "text" => !value.TryGetProperty("format"u8, out var format) || HasOnly(format, ["type", "name", "description", "strict", "schema"]),
        "tools" => request.Unknown.All(static member => !member.Key.StartsWith("tools[]", StringComparison.Ordinal)),
        _ => true,
    };

    /// <summary>True if the messages that are read from an item hold all of it. The reasoning that OpenAI encrypted is in no message.</summary>
    public static bool IsHeld(JsonElement item) =>
        HasOnly(item, OfItem) && AreHeld(item, "content"u8) && AreHeld(item, "output"u8)
            && !(OpenAiResponsesJson.Text(item, "encrypted_content"u8) is { } secret && secret.StartsWith("gAAAA", StringComparison.Ordinal));

    private static bool AreHeld(JsonElement item, ReadOnlySpan<byte> name) =>
        !item.TryGetProperty(name, out var parts) || parts.ValueKind is not JsonValueKind.Array
            || parts.EnumerateArray().All(static part => !IsRead(part) || HasOnly(part, OfPart));

    /// <summary>A part of another type is held as it came.</summary>
    private static bool IsRead(JsonElement part) => OpenAiResponsesJson.Text(part, "type"u8)
        is "input_text" or "output_text" or "text" or "summary_text" or "reasoning_text" or "refusal" or "input_image";

    private static bool HasOnly(JsonElement value, string[] names)
    {
        if (value.ValueKind is not JsonValueKind.Object) return true;
        foreach (var member in value.EnumerateObject())
        {
            if (member.Value.ValueKind is not JsonValueKind.Null && !IsOneOf(member, names)) return false;
        }

        return true;
    }

    /// <summary>Compares without making a text of each member's name.</summary>
    private static bool IsOneOf(JsonProperty member, string[] names)
    {
        foreach (var name in names)
        {
            if (member.NameEquals(name)) return true;
        }

        return false;
    }
}
