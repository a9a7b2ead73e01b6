using System.Text.Json;

namespace Proxy.Chat;

/// <summary>
/// The members of a prompt call (OpenAI's completions, Ollama's generate) besides its text. The text is the one user message of the request, after a system
/// message if there is one. So a host that offers only chat gets the same request, as far as <see cref="UnsayableInChat"/> allows.
/// </summary>
internal sealed record Prompt
{
    /// <summary>
    /// True if the model is to continue the text. Otherwise the text is a question, which the model's chat template turns into one turn of a conversation.
    /// </summary>
    public bool Continues { get; init; }

    /// <summary>The text after the gap that the model fills. Null if there is no gap.</summary>
    public string? Suffix { get; init; }

    /// <summary>Ollama's <c>raw</c>: the model gets the text without a template.</summary>
    public bool Raw { get; init; }

    /// <summary>Ollama's <c>template</c>, used instead of the model's own.</summary>
    public string? Template { get; init; }

    /// <summary>Ollama's <c>context</c>, the conversation so far as token numbers, as it came. Null if it is empty.</summary>
    public JsonElement? Context { get; init; }

    /// <summary>True if the answer is to begin with the prompt's text.</summary>
    public bool Echo { get; init; }

    /// <summary>The number of answers of which the host returns the best. Null if not set.</summary>
    public int? BestOf { get; init; }

    /// <summary>The prompt as it came, if it is not one text but several, or token numbers.</summary>
    public JsonElement? NotOneText { get; init; }

    /// <summary>True if no template is put around the text, neither the model's nor another.</summary>
    public bool Untemplated => Raw || Template?.Trim() is "{{ .Prompt }}" or "{{.Prompt}}";

    /// <summary>The error if a host that offers only chat would answer a different question. Null if it would not.</summary>
    public ProxyError? UnsayableInChat()
    {
        var field = NotOneText is not null ? "prompt"
            : Suffix is not null ? "suffix"
            : Raw ? "raw"
            : Template is not null ? "template"
            : Context is not null ? "context"
            : Echo ? "echo"
            : null;
        return field is null ? null : new ProxyError(ProxyErrorKind.InvalidRequest, NotOneText is not null
            ? "the model's host takes one text as \"prompt\", not several and not token numbers"
            : $"the model's host offers only chat and does not accept \"{field}\"") { Param = field };
    }
}
