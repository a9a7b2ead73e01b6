using Proxy.Chat;

namespace Proxy.Dialects.Events;

/// <summary>Names used in the event schema.</summary>
internal static class EventSchemaJson
{
    public const string ContentType = "application/x-ndjson";

    public static string Word(ChatRole role) => role switch
    {
        ChatRole.System => "system",
        ChatRole.User => "user",
        ChatRole.Tool => "tool",
        ChatRole.Developer => "developer",
        _ => "assistant",
    };

    public static ChatRole Role(string? word) => word switch
    {
        "system" => ChatRole.System,
        "user" => ChatRole.User,
        "tool" => ChatRole.Tool,
        "developer" => ChatRole.Developer,
        _ => ChatRole.Assistant,
    };

    public static string Word(TokenKind kind) => kind switch
    {
        TokenKind.Reasoning => "reasoning",
        TokenKind.Refusal => "refusal",
        _ => "answer",
    };

    public static TokenKind Kind(string? word) => word switch
    {
        "reasoning" => TokenKind.Reasoning,
        "refusal" => TokenKind.Refusal,
        _ => TokenKind.Answer,
    };

    public static string Word(FinishReason reason) => reason switch
    {
        FinishReason.Length => "length",
        FinishReason.ToolCalls => "tool_calls",
        FinishReason.ContentFilter => "content_filter",
        FinishReason.Error => "error",
        _ => "stop",
    };

    /// <summary>The reason of that word; without one, stop. Null: there is no such reason.</summary>
    public static FinishReason? Reason(string? word) => word switch
    {
        null or "stop" => FinishReason.Stop,
        "length" => FinishReason.Length,
        "tool_calls" => FinishReason.ToolCalls,
        "content_filter" => FinishReason.ContentFilter,
        "error" => FinishReason.Error,
        _ => null,
    };

    /// <summary>The kind that belongs to an error's code. Each kind has a code of its own in <see cref="ProxyErrorTable"/>.</summary>
    public static ProxyErrorKind ErrorKind(string? code)
    {
        foreach (var kind in Enum.GetValues<ProxyErrorKind>())
        {
            if (ProxyErrorTable.Of(kind).Code == code) return kind;
        }

        return ProxyErrorKind.HostFailed;
    }
}
