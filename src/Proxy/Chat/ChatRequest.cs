using System.Text.Json;

namespace Proxy.Chat;

/// <summary>
/// A chat request that no dialect owns. What the schema does not name is kept as it came in the <c>Unknown</c> members, so that a rewrite in the same dialect loses nothing.
/// </summary>
internal sealed record ChatRequest
{
    /// <summary>The dialect it was read from, and so the only one in which the <c>Unknown</c> members mean anything. Null: ours, none has any.</summary>
    public DialectName? Origin { get; init; }
    public required string Model { get; init; }
    public required IReadOnlyList<ChatMessage> Messages { get; init; }

    /// <summary>Not null: a call of a prompt dialect, whose text is the one user message.</summary>
    public Prompt? Prompt { get; init; }
    public bool Stream { get; init; }

    /// <summary>The client asked for usage in its stream (OpenAI's <c>stream_options.include_usage</c>); other dialects always report it.</summary>
    public bool IncludeUsage { get; init; }
    public IReadOnlyList<ToolDefinition> Tools { get; init; } = [];
    public ToolChoice? ToolChoice { get; init; }
    public bool? ParallelToolCalls { get; init; }
    public SamplingOptions Sampling { get; init; } = new();

    /// <summary>Null: free text.</summary>
    public OutputFormat? Format { get; init; }

    /// <summary>Null: the host's own default.</summary>
    public Thinking? Thinking { get; init; }

    /// <summary>The host that gets the request says that its model thinks.</summary>
    public bool ModelThinks { get; init; }

    /// <summary>How many answers; null when unsaid.</summary>
    public int? Choices { get; init; }

    /// <summary>Log probabilities wanted; with how many alternatives.</summary>
    public bool? LogProbabilities { get; init; }
    public int? TopLogProbabilities { get; init; }

    /// <summary>Ollama's <c>keep_alive</c>, as it came.</summary>
    public JsonElement? KeepAlive { get; init; }

    /// <summary>The caller's own name for its user.</summary>
    public string? User { get; init; }

    public IReadOnlyList<KeyValuePair<string, JsonElement>> Unknown { get; init; } = [];

    /// <summary>Members that are understood, but of which their dialect has several spellings: how they came, for a rewrite. In another dialect they are no loss.</summary>
    public IReadOnlyList<KeyValuePair<string, JsonElement>> AsItCame { get; init; } = [];
}

internal sealed record ChatMessage(ChatRole Role, IReadOnlyList<ContentPart> Content)
{
    /// <summary>The role in its dialect's own word where <see cref="ChatRole"/> has none for it (OpenAI's old <c>function</c>, a template's own).</summary>
    public string? RoleWord { get; init; }

    public string? Name { get; init; }

    /// <summary>What an assistant called.</summary>
    public IReadOnlyList<ToolInvocation> ToolCalls { get; init; } = [];

    /// <summary>Which call a tool's message answers, by id and, where the dialect says it, by the tool's name.</summary>
    public string? ToolCallId { get; init; }
    public string? ToolName { get; init; }

    /// <summary>The tool's answer says that it failed (Anthropic's <c>is_error</c>).</summary>
    public bool ToolFailed { get; init; }

    /// <summary>What the assistant thought, as one text.</summary>
    public string? Reasoning { get; init; }

    /// <summary>The same where its dialect gives thoughts back as signed blocks, which are worth something only unchanged and in their places.</summary>
    public IReadOnlyList<Thought> Thoughts { get; init; } = [];
    public string? Refusal { get; init; }
    public IReadOnlyList<KeyValuePair<string, JsonElement>> Unknown { get; init; } = [];

    /// <inheritdoc cref="ChatRequest.AsItCame"/>
    public IReadOnlyList<KeyValuePair<string, JsonElement>> AsItCame { get; init; } = [];
}

/// <summary>A block of thinking that its model signed, or sealed: then <paramref name="Redacted"/> is all there is. <paramref name="Position"/>: how many parts and calls of the message come before it.</summary>
internal sealed record Thought(string Text, string? Signature, string? Redacted, int Position);

internal abstract record ContentPart
{
    private ContentPart() { }

    public IReadOnlyList<KeyValuePair<string, JsonElement>> Unknown { get; init; } = [];

    public sealed record Text(string Value) : ContentPart;

    /// <summary>An image's bytes in base64 without a prefix, or where it is. <paramref name="MediaType"/> is null when the dialect does not say.</summary>
    public sealed record Image(string? MediaType, string? Base64, string? Url) : ContentPart
    {
        public string? Detail { get; init; }
    }

    /// <summary>A part that only one dialect knows (audio, files), as it came.</summary>
    public sealed record Other(string Type, JsonElement Raw) : ContentPart;
}

/// <summary>A tool the model may call. <paramref name="Parameters"/> is a JSON schema.</summary>
internal sealed record ToolDefinition(string Name, string? Description, JsonElement? Parameters)
{
    public bool? Strict { get; init; }

    /// <summary>Takes any text (a custom tool of Responses). To hosts it is a function whose one argument is that text.</summary>
    public bool TakesText { get; init; }

    /// <summary>The group that it stands in (a namespace of Responses), with which <see cref="Name"/> begins; null where it stands alone.</summary>
    public string? Namespace { get; init; }

    /// <summary>
    /// The tool whole as it came, where the members above do not say all of it: it has unknown members, or is no function at all (a host's own search); then <see cref="Name"/> is empty.
    /// </summary>
    public JsonElement? Raw { get; init; }
}

/// <summary>A call that was made. <paramref name="Arguments"/> is JSON text.</summary>
internal sealed record ToolInvocation(string? Id, string Name, string Arguments)
{
    /// <inheritdoc cref="ToolDefinition.TakesText"/>
    public bool TakesText { get; init; }

    /// <inheritdoc cref="ToolDefinition.Namespace"/>
    public string? Namespace { get; init; }

    public IReadOnlyList<KeyValuePair<string, JsonElement>> Unknown { get; init; } = [];
}

/// <summary><c>auto</c>, <c>none</c>, <c>required</c>, or the one tool named.</summary>
internal sealed record ToolChoice(string Mode, string? Name = null);

/// <summary>Any JSON (<paramref name="Schema"/> null) or JSON of a schema.</summary>
internal sealed record OutputFormat(JsonElement? Schema)
{
    public string? Name { get; init; }
    public string? Description { get; init; }
    public bool? Strict { get; init; }
}

/// <summary>Whether to think, and how hard in the host's own word (low, medium, high …). A dialect that counts tokens of thinking instead has both: the count, and the word that is nearest to it.</summary>
internal sealed record Thinking(bool Enabled, string? Effort = null)
{
    public int? Budget { get; init; }
}

internal sealed record SamplingOptions
{
    public double? Temperature { get; init; }
    public double? TopP { get; init; }
    public int? TopK { get; init; }
    public double? MinP { get; init; }

    /// <summary>Tokens of the answer at most; below 0: as many as the host likes.</summary>
    public int? MaxTokens { get; init; }
    public long? Seed { get; init; }
    public double? FrequencyPenalty { get; init; }
    public double? PresencePenalty { get; init; }
    public double? RepeatPenalty { get; init; }
    public IReadOnlyList<string> Stop { get; init; } = [];

    /// <summary>The context window asked for, in tokens (Ollama's <c>num_ctx</c>).</summary>
    public int? ContextLength { get; init; }

    /// <summary>Options of the dialect that we have no name for (Ollama's <c>options</c>), as they came.</summary>
    public IReadOnlyList<KeyValuePair<string, JsonElement>> Unknown { get; init; } = [];
}
