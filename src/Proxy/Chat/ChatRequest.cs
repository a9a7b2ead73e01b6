using System.Text.Json;

namespace Proxy.Chat;

/// <summary>
/// A chat request, independent of any dialect. Members that this type does not name are kept unchanged in the <c>Unknown</c> members, so that a request written
/// in the same dialect again loses nothing.
/// </summary>
internal sealed record ChatRequest
{
    /// <summary>
    /// The dialect that the request was read from; only there do the <c>Unknown</c> members have a meaning. Null for a request that the proxy made itself; it
    /// has none.
    /// </summary>
    public DialectName? Origin { get; init; }
    public required string Model { get; init; }
    public required IReadOnlyList<ChatMessage> Messages { get; init; }

    /// <summary>Not null for a call of a prompt dialect. The prompt's text is then the one user message.</summary>
    public Prompt? Prompt { get; init; }
    public bool Stream { get; init; }

    /// <summary>True if the client asked for usage in its stream (OpenAI's <c>stream_options.include_usage</c>). Other dialects always report it.</summary>
    public bool IncludeUsage { get; init; }
    public IReadOnlyList<ToolDefinition> Tools { get; init; } = [];
    public ToolChoice? ToolChoice { get; init; }
    public bool? ParallelToolCalls { get; init; }
    public SamplingOptions Sampling { get; init; } = new();

    /// <summary>The required form of the answer. Null means free text.</summary>
    public OutputFormat? Format { get; init; }

    /// <summary>Null means the host's own default.</summary>
    public Thinking? Thinking { get; init; }

    /// <summary>True if the host that gets the request reports that its model can think.</summary>
    public bool ModelThinks { get; init; }

    /// <summary>The number of answers. Null if not set.</summary>
    public int? Choices { get; init; }

    /// <summary>Whether log probabilities are wanted, and with how many alternatives.</summary>
    public bool? LogProbabilities { get; init; }
    public int? TopLogProbabilities { get; init; }

    /// <summary>Ollama's <c>keep_alive</c>, as it came.</summary>
    public JsonElement? KeepAlive { get; init; }

    /// <summary>The caller's own identifier for its user.</summary>
    public string? User { get; init; }

    public IReadOnlyList<KeyValuePair<string, JsonElement>> Unknown { get; init; } = [];

    /// <summary>
    /// Members that are understood, but that have several spellings in their dialect, as they came: for writing the request in the same dialect. In another
    /// dialect nothing is lost without them.
    /// </summary>
    public IReadOnlyList<KeyValuePair<string, JsonElement>> AsItCame { get; init; } = [];
}

internal sealed record ChatMessage(ChatRole Role, IReadOnlyList<ContentPart> Content)
{
    /// <summary>
    /// The role as its dialect spells it, if <see cref="ChatRole"/> has no value for it (OpenAI's old <c>function</c>, or a template's own roles).
    /// </summary>
    public string? RoleWord { get; init; }

    public string? Name { get; init; }

    /// <summary>The tool calls of an assistant message.</summary>
    public IReadOnlyList<ToolInvocation> ToolCalls { get; init; } = [];

    /// <summary>The call that a tool message answers, by id and, if the dialect sends it, by the tool's name.</summary>
    public string? ToolCallId { get; init; }
    public string? ToolName { get; init; }

    /// <summary>True if the tool reported a failure (Anthropic's <c>is_error</c>).</summary>
    public bool ToolFailed { get; init; }

    /// <summary>The assistant's reasoning as one text.</summary>
    public string? Reasoning { get; init; }

    /// <summary>The same reasoning as signed blocks, if the dialect returns those. They are only valid unchanged and at their positions.</summary>
    public IReadOnlyList<Thought> Thoughts { get; init; } = [];
    public string? Refusal { get; init; }
    public IReadOnlyList<KeyValuePair<string, JsonElement>> Unknown { get; init; } = [];

    /// <inheritdoc cref="ChatRequest.AsItCame"/>
    public IReadOnlyList<KeyValuePair<string, JsonElement>> AsItCame { get; init; } = [];
}

/// <summary>
/// A block of reasoning that the model's vendor signed or encrypted; an encrypted one has only <paramref name="Redacted"/>. <paramref name="Position"/> is the
/// number of the message's parts and calls before it.
/// </summary>
internal sealed record Thought(string Text, string? Signature, string? Redacted, int Position);

internal abstract record ContentPart
{
    private ContentPart() { }

    public IReadOnlyList<KeyValuePair<string, JsonElement>> Unknown { get; init; } = [];

    public sealed record Text(string Value) : ContentPart;

    /// <summary>An image, either as base64 without a prefix or as a URL. <paramref name="MediaType"/> is null if the dialect does not send it.</summary>
    public sealed record Image(string? MediaType, string? Base64, string? Url) : ContentPart
    {
        public string? Detail { get; init; }
    }

    /// <summary>A part that only one dialect knows (audio, files), as it came.</summary>
    public sealed record Other(string Type, JsonElement Raw) : ContentPart;
}

/// <summary>A tool that the model may call. <paramref name="Parameters"/> is a JSON schema.</summary>
internal sealed record ToolDefinition(string Name, string? Description, JsonElement? Parameters)
{
    public bool? Strict { get; init; }

    /// <summary>True for a tool that takes free text (a custom tool of Responses). Hosts get it as a function with that text as its only argument.</summary>
    public bool TakesText { get; init; }

    /// <summary>The tool's group (a namespace of Responses), which is also the beginning of <see cref="Name"/>. Null if it has none.</summary>
    public string? Namespace { get; init; }

    /// <summary>
    /// The complete tool as it came, if the members above do not hold all of it: it has unknown members, or it is not a function at all (a host's built-in
    /// search, for example). In the latter case <see cref="Name"/> is empty.
    /// </summary>
    public JsonElement? Raw { get; init; }
}

/// <summary>A call that the model made. <paramref name="Arguments"/> is JSON text.</summary>
internal sealed record ToolInvocation(string? Id, string Name, string Arguments)
{
    /// <inheritdoc cref="ToolDefinition.TakesText"/>
    public bool TakesText { get; init; }

    /// <inheritdoc cref="ToolDefinition.Namespace"/>
    public string? Namespace { get; init; }

    public IReadOnlyList<KeyValuePair<string, JsonElement>> Unknown { get; init; } = [];
}

/// <summary><c>auto</c>, <c>none</c>, <c>required</c>, or one named tool.</summary>
internal sealed record ToolChoice(string Mode, string? Name = null);

/// <summary>The answer must be JSON: any JSON if <paramref name="Schema"/> is null, otherwise JSON of that schema.</summary>
internal sealed record OutputFormat(JsonElement? Schema)
{
    public string? Name { get; init; }
    public string? Description { get; init; }
    public bool? Strict { get; init; }
}

/// <summary>
/// Whether to think, and how hard, in the host's own terms (low, medium, high …). A dialect that limits thinking in tokens sets both the budget and the
/// nearest effort.
/// </summary>
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

    /// <summary>The most tokens that the answer may have. Below 0, the host decides.</summary>
    public int? MaxTokens { get; init; }
    public long? Seed { get; init; }
    public double? FrequencyPenalty { get; init; }
    public double? PresencePenalty { get; init; }
    public double? RepeatPenalty { get; init; }
    public IReadOnlyList<string> Stop { get; init; } = [];

    /// <summary>The requested context window, in tokens (Ollama's <c>num_ctx</c>).</summary>
    public int? ContextLength { get; init; }

    /// <summary>Options of the dialect that this type does not name (from Ollama's <c>options</c>), as they came.</summary>
    public IReadOnlyList<KeyValuePair<string, JsonElement>> Unknown { get; init; } = [];
}
