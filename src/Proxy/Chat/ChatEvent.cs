using System.Text.Json;
using System.Text.Json.Serialization;

namespace Proxy.Chat;

/// <summary>
/// One thing a model said or did. Every dialect reads its stream into these and writes its stream from these; in JSON they are what workflow workers publish.
/// A missing <c>choice</c> or <c>index</c> is 0.
/// </summary>
[JsonPolymorphic(TypeDiscriminatorPropertyName = "type")]
[JsonDerivedType(typeof(Started), "started")]
[JsonDerivedType(typeof(RoleGiven), "role")]
[JsonDerivedType(typeof(Token), "token")]
[JsonDerivedType(typeof(ToolCall), "tool_call")]
[JsonDerivedType(typeof(BlockEnded), "block_end")]
[JsonDerivedType(typeof(UsageReported), "usage")]
[JsonDerivedType(typeof(Finished), "finished")]
internal abstract record ChatEvent
{
    private ChatEvent() { }

    /// <summary>Which of the <c>n</c> answers this belongs to.</summary>
    public int Choice { get; init; }

    /// <summary>The workflow task that speaks, when several do.</summary>
    public string? Task { get; init; }

    /// <summary>What only one dialect can say (log probabilities, signatures), as that dialect wrote it.</summary>
    public JsonElement? Opaque { get; init; }

    /// <summary>The reply began. <paramref name="Created"/> is in Unix seconds; the host's own id passes unchanged.</summary>
    public sealed record Started(string? Id, string? Model, long? Created) : ChatEvent;

    public sealed record RoleGiven(ChatRole Role) : ChatEvent;

    /// <summary>Text, a piece of any length. Never split inside a character.</summary>
    public sealed record Token(string Text, TokenKind Kind = TokenKind.Answer) : ChatEvent;

    /// <summary>A piece of a tool call: the first piece of an index has id and name; arguments are JSON text, in pieces or whole.</summary>
    public sealed record ToolCall(int Index, string? Id, string? Name, string? Arguments) : ChatEvent;

    /// <summary>The block that was open (text, reasoning, a tool call) is complete.</summary>
    public sealed record BlockEnded : ChatEvent;

    public sealed record UsageReported(Usage Usage) : ChatEvent;

    /// <summary>The last event of a choice. With an <paramref name="Error"/>, of the whole reply: it broke off.</summary>
    public sealed record Finished(FinishReason Reason, string? Winner = null, ProxyError? Error = null) : ChatEvent;

    /// <summary>Nothing happened for a while: a writer may keep the connection alive. Never published and never part of a reply.</summary>
    public sealed record Quiet : ChatEvent
    {
        public static readonly Quiet Now = new();
    }
}

internal enum ChatRole
{
    [JsonStringEnumMemberName("system")] System,
    [JsonStringEnumMemberName("user")] User,
    [JsonStringEnumMemberName("assistant")] Assistant,
    [JsonStringEnumMemberName("tool")] Tool,
    [JsonStringEnumMemberName("developer")] Developer,
}

internal enum TokenKind
{
    [JsonStringEnumMemberName("answer")] Answer,
    [JsonStringEnumMemberName("reasoning")] Reasoning,
    [JsonStringEnumMemberName("refusal")] Refusal,
}

internal enum FinishReason
{
    [JsonStringEnumMemberName("stop")] Stop,
    [JsonStringEnumMemberName("length")] Length,
    [JsonStringEnumMemberName("tool_calls")] ToolCalls,
    [JsonStringEnumMemberName("content_filter")] ContentFilter,
    [JsonStringEnumMemberName("error")] Error,
}

/// <summary>Tokens of one reply, as the host counted them. Details are null when the host did not say.</summary>
internal sealed record Usage(int InputTokens, int OutputTokens)
{
    public int? CachedInputTokens { get; init; }
    public int? ReasoningTokens { get; init; }

    /// <summary>Ollama's durations, in nanoseconds.</summary>
    public long? TotalDuration { get; init; }
    public long? LoadDuration { get; init; }
    public long? PromptEvalDuration { get; init; }
    public long? EvalDuration { get; init; }
}
