using System.Text.Json;

namespace Proxy.Chat;

/// <summary>A model as listings show it. Facts that the host did not report are null and left out, not guessed.</summary>
internal sealed record ModelListing(string Name)
{
    /// <summary>The workspace, in a pair <c>MODEL#WORKSPACE</c> that is listed like a model; else null.</summary>
    public string? Workspace { get; init; }

    /// <summary>The name of the model that answers: without the workspace.</summary>
    public string Model => Workspace is null ? Name : Name[..^(Workspace.Length + 1)];

    /// <summary>For an alias, the name at the host of the model behind it. Null for a model's own name.</summary>
    public string? Resolved { get; init; }
    public DateTimeOffset? Created { get; init; }
    public string? OwnedBy { get; init; }

    /// <summary>The context window that a call gets, in tokens.</summary>
    public int? ContextLength { get; init; }

    /// <summary>The longest context that the host could run the model with, in tokens, if it has a choice.</summary>
    public int? ContextLimit { get; init; }

    /// <summary>True if some host has the model in memory, so that it answers without loading it first.</summary>
    public bool? Loaded { get; init; }

    /// <summary>Size on the host's disk, in bytes.</summary>
    public long? Size { get; init; }
    public string? Digest { get; init; }

    /// <summary>Ollama's <c>details</c> object, as the host wrote it.</summary>
    public JsonElement? Details { get; init; }

    /// <summary>In Ollama's terms: completion, tools, vision, thinking, embedding …</summary>
    public IReadOnlyList<string> Capabilities { get; init; } = [];

    public ModelKind? Kind { get; init; }

    /// <summary>All other facts that the host reported.</summary>
    public ModelTraits Traits { get; init; } = ModelTraits.None;
}
