using System.Text.Json;

namespace Proxy.Chat;

/// <summary>
/// The unit of an answer inside the proxy. Every dialect reads its streams into events and writes its streams from events. Workflow workers publish events
/// as JSON (<c>Dialects/Events</c>), where a missing <c>choice</c> or <c>index</c> is 0.
/// </summary>
internal abstract record ChatEvent
{
    private ChatEvent() { }

    /// <summary>The index of the answer that the event belongs to, if the request asked for several (<c>n</c>).</summary>
    public int Choice { get; init; }

    /// <summary>The part of a workflow that published it; null if a model's host sent it.</summary>
    public EventOrigin? Origin { get; init; }

    /// <summary>
    /// An object of members that not every dialect has: <c>logprobs</c> (in OpenAI's form), <c>system_fingerprint</c>, <c>done_reason</c>, signatures.
    /// </summary>
    public JsonElement? Opaque { get; init; }

    /// <summary>The reply has started. <paramref name="Created"/> is in Unix seconds; <paramref name="Id"/> is the host's own, unchanged.</summary>
    public sealed record Started(string? Id, string? Model, long? Created) : ChatEvent;

    public sealed record RoleGiven(ChatRole Role) : ChatEvent;

    /// <summary>A piece of text of any length, never split inside a character.</summary>
    public sealed record Token(string Text, TokenKind Kind = TokenKind.Answer) : ChatEvent;

    /// <summary>A piece of a tool call. The first piece of an index has id and name. The arguments are JSON text, in pieces or whole.</summary>
    public sealed record ToolCall(int Index, string? Id, string? Name, string? Arguments) : ChatEvent;

    /// <summary>
    /// The block that was open (text, reasoning, a tool call) is complete. Its <see cref="Opaque"/> may hold the <c>signature</c> of a thought; with
    /// <c>redacted_thinking</c> the event is a block of its own, a thought that was encrypted.
    /// </summary>
    public sealed record BlockEnded : ChatEvent;

    public sealed record UsageReported(Usage Usage) : ChatEvent;

    /// <summary>Sources that the answer relies on. More may follow.</summary>
    public sealed record SourcesFound(IReadOnlyList<Source> Sources) : ChatEvent;

    /// <summary>The last event of a choice. With an <paramref name="Error"/> it is the last event of the whole reply, which is then incomplete.</summary>
    public sealed record Finished(FinishReason Reason, string? Winner = null, ProxyError? Error = null) : ChatEvent;

    /// <summary>The host sent a part of this kind, which no dialect here can express. It is counted, never published and never part of a reply.</summary>
    public sealed record Skipped(string Kind) : ChatEvent;

    /// <summary>Nothing has arrived for a while; a writer may send a keep-alive. Never published and never part of a reply.</summary>
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
internal sealed record Source(string Id, string? Title = null, string? Uri = null, double? Score = null)
{
    /// <summary>The number by which the model cites it, from 1; null: it was given none.</summary>
    public int? Number { get; init; }

    /// <summary>The file that it is a part of, if it comes from a workspace.</summary>
    public string? FileId { get; init; }
    public string? FileName { get; init; }

    /// <summary>The page of the file, from 1, if the file has pages.</summary>
    public int? Page { get; init; }

    /// <summary>The passage itself. Only answers that asked for it contain it.</summary>
    public string? Text { get; init; }

    /// <summary>The file's attributes, a JSON object.</summary>
    public JsonElement? Attributes { get; init; }
}

/// <summary>A search in workspaces that was made for an answer.</summary>
/// <param name="Queries">What was looked for.</param>
internal sealed record SearchNote(IReadOnlyList<string> Queries)
{
    /// <summary>The stages of the search as JSON in ASCII, if the client asked for them.</summary>
    public string? Trace { get; init; }
}

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
    /// <summary>Prompt tokens that were read from the host's cache.</summary>
    public int? CachedInputTokens { get; init; }

    /// <summary>Prompt tokens that were written to the host's cache, for hosts that count (and bill) them separately.</summary>
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
