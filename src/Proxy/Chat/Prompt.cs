using System.Text.Json;

namespace Proxy.Chat;

/// <summary>
/// What a call of a prompt dialect (OpenAI's completions, Ollama's generate) says beside its text. The text itself is the one user message of the request, after the system's if there is one:
/// so a host that only chats is asked the same, as far as <see cref="UnsayableInChat"/> allows.
/// </summary>
internal sealed record Prompt
{
    /// <summary>The text is to be continued. Otherwise it is a question, which the model's chat template turns into one turn of a conversation.</summary>
    public bool Continues { get; init; }

    /// <summary>What comes after the gap that the model fills; null when the text has no gap.</summary>
    public string? Suffix { get; init; }

    /// <summary>Ollama's <c>raw</c>: the text goes to the model as it stands.</summary>
    public bool Raw { get; init; }

    /// <summary>Ollama's <c>template</c> in place of the model's own.</summary>
    public string? Template { get; init; }

    /// <summary>Ollama's <c>context</c>, the conversation so far in token numbers, as it came. Null when it is empty.</summary>
    public JsonElement? Context { get; init; }

    /// <summary>The answer is to begin with the text.</summary>
    public bool Echo { get; init; }

    /// <summary>Answers to choose from; null when unsaid.</summary>
    public int? BestOf { get; init; }

    /// <summary>The prompt as it came where it is not one text: several, or token numbers.</summary>
    public JsonElement? NotOneText { get; init; }

    /// <summary>Neither the model's template nor another is put around the text.</summary>
    public bool Untemplated => Raw || Template?.Trim() is "{{ .Prompt }}" or "{{.Prompt}}";

    /// <summary>Why a host that only chats would answer another question; null when it would not.</summary>
    public ProxyError? UnsayableInChat()
    {
        var field = NotOneText is not null ? "prompt" : Suffix is not null ? "suffix" : Raw ? "raw" : Template is not null ? "template" : Context is not null ? "context" : Echo ? "echo" : null;
        return field is null ? null : new ProxyError(ProxyErrorKind.InvalidRequest, NotOneText is not null
            ? "the model's host takes one text as \"prompt\", not several and not token numbers"
            : $"the model's host only chats and cannot be given \"{field}\"") { Param = field };
    }
}
