using System.Text.Json;

namespace Proxy.Chat;

/// <summary>A model as listings show it. What its host did not tell is null and left out, not guessed.</summary>
internal sealed record ModelListing(string Name)
{
    public DateTimeOffset? Created { get; init; }
    public string? OwnedBy { get; init; }

    /// <summary>The context window that a call gets, in tokens.</summary>
    public int? ContextLength { get; init; }

    /// <summary>Bytes on the host's disk.</summary>
    public long? Size { get; init; }
    public string? Digest { get; init; }

    /// <summary>Ollama's <c>details</c> object, as the host wrote it.</summary>
    public JsonElement? Details { get; init; }

    /// <summary>In Ollama's words: completion, tools, vision, thinking, embedding …</summary>
    public IReadOnlyList<string> Capabilities { get; init; } = [];
}
