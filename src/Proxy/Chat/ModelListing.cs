using System.Text.Json;

namespace Proxy.Chat;

/// <summary>A model as listings show it. What its host did not tell is null and left out, not guessed.</summary>
internal sealed record ModelListing(string Name)
{
    /// <summary>The model that an alias stands for, by its name at the host; null for a model's own name.</summary>
    public string? Resolved { get; init; }
    public DateTimeOffset? Created { get; init; }
    public string? OwnedBy { get; init; }

    /// <summary>The context window that a call gets, in tokens.</summary>
    public int? ContextLength { get; init; }

    /// <summary>The longest context that the host could run it with, in tokens, where it has a choice.</summary>
    public int? ContextLimit { get; init; }

    /// <summary>It is in memory on some host, and answers without being loaded first.</summary>
    public bool? Loaded { get; init; }

    /// <summary>Bytes on the host's disk.</summary>
    public long? Size { get; init; }
    public string? Digest { get; init; }

    /// <summary>Ollama's <c>details</c> object, as the host wrote it.</summary>
    public JsonElement? Details { get; init; }

    /// <summary>In Ollama's words: completion, tools, vision, thinking, embedding …</summary>
    public IReadOnlyList<string> Capabilities { get; init; } = [];

    public ModelKind? Kind { get; init; }

    /// <summary>What else its host told of it.</summary>
    public ModelTraits Traits { get; init; } = ModelTraits.None;
}
