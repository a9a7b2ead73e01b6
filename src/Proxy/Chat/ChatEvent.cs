using System.Text.Json;

namespace Proxy.Chat;

/// <summary>
/// One thing a model said or did. Every dialect reads its stream into these and writes its stream from these; in JSON they are what workflow workers publish.
/// A missing <c>choice</c> or <c>index</c> is 0. <c>Dialects/Events</c> knows that form.
/// </summary>
internal abstract record ChatEvent
{
    private ChatEvent() { }

    /// <summary>Which of the <c>n</c> answers this belongs to.</summary>
    public int Choice { get; init; }

    /// <summary>The part of a workflow that published it; null if a model's host sent it.</summary>
    public EventOrigin? Origin { get; init; }

    /// <summary>
    /// An object of members that not every dialect has: <c>logprobs</c> (in OpenAI's form), <c>system_fingerprint</c>, <c>done_reason</c>, signatures.
    /// </summary>
    public JsonElement? Opaque { get; init; }

    /// <summary>The reply began. <paramref name="Created"/> is in Unix seconds; the host's own id passes unchanged.</summary>
    public sealed record Started(string? Id, string? Model, long? Created) : ChatEvent;

    public sealed record RoleGiven(ChatRole Role) : ChatEvent;

    /// <summary>Text, a piece of any length. Never split inside a character.</summary>
    public sealed record Token(string Text, TokenKind Kind = TokenKind.Answer) : ChatEvent;

    /// <summary>A piece of a tool call: the first piece of an index has id and name; arguments are JSON text, in pieces or whole.</summary>
    public sealed record ToolCall(int Index, string? Id, string? Name, string? Arguments) : ChatEvent;

    /// <summary>
    /// The block that was open (text, reasoning, a tool call) is complete. Its <see cref="Opaque"/> may hold the <c>signature</c> of a thought; with
    /// <c>redacted_thinking</c> the event is a block of its own, a thought that was encrypted.
    /// </summary>
    public sealed record BlockEnded : ChatEvent;

    public sealed record UsageReported(Usage Usage) : ChatEvent;

    /// <summary>Sources that the answer relies on. More may follow.</summary>
    public sealed record SourcesFound(IReadOnlyList<Source> Sources) : ChatEvent;

    /// <summary>The last event of a choice. With an <paramref name="Error"/>, of the whole reply: it broke off.</summary>
    public sealed record Finished(FinishReason Reason, string? Winner = null, ProxyError? Error = null) : ChatEvent;

    /// <summary>The host sent a part of this kind, which no dialect here can express. It is counted, never published and never part of a reply.</summary>
    public sealed record Skipped(string Kind) : ChatEvent;

    /// <summary>Nothing happened for a while: a writer may keep the connection alive. Never published and never part of a reply.</summary>
    public sealed record Quiet : ChatEvent
    {
        public static readonly Quiet Now = new();
    }
}

/// <summary>
/// Where in a workflow an event comes from: the <paramref name="Task"/>, the <paramref name="Model"/> that the task uses, and the event's number, which rises
/// within a trace. An event whose number does not rise has been delivered twice.
/// </summary>
internal sealed record EventOrigin(string? Task = null, string? Model = null, long? Seq = null);

/// <summary>A document, or a part of one, that an answer relies on. A higher score means a better match with the question.</summary>
internal sealed record Source(string Id, string? Title = null, string? Uri = null, double? Score = null);

internal enum ChatRole
{
    System,
    User,
    Assistant,
    Tool,
    Developer,
}

internal enum TokenKind
{
    Answer,
    Reasoning,
    Refusal,
}

internal enum FinishReason
{
    Stop,
    Length,
    ToolCalls,
    ContentFilter,
    Error,
}

/// <summary>
/// The tokens of one reply, as the host counted them. <paramref name="InputTokens"/> is the whole prompt, cached or not. Details that the host did not report
/// are null.
/// </summary>
internal sealed record Usage(int InputTokens, int OutputTokens)
{
    /// <summary>Of the prompt: what came out of the host's cache.</summary>
    public int? CachedInputTokens { get; init; }

    /// <summary>Of the prompt: what was put into the host's cache, where that is counted (and paid) apart.</summary>
    public int? CacheWrittenTokens { get; init; }
    public int? ReasoningTokens { get; init; }

    /// <summary>Ollama's durations, in nanoseconds.</summary>
    public long? TotalDuration { get; init; }
    public long? LoadDuration { get; init; }
    public long? PromptEvalDuration { get; init; }
    public long? EvalDuration { get; init; }

    /// <summary>
    /// This report, completed from an <paramref name="earlier"/> one of the same reply: some hosts count the prompt at the start and the answer at the end.
    /// </summary>
    public Usage After(Usage? earlier) => earlier is null || InputTokens > 0 ? this : this with
    {
        InputTokens = earlier.InputTokens,
        CachedInputTokens = CachedInputTokens ?? earlier.CachedInputTokens,
        CacheWrittenTokens = CacheWrittenTokens ?? earlier.CacheWrittenTokens,
    };
}
