namespace Proxy.Config;

/// <summary>The <c>[inference]</c> section: models that run in this process.</summary>
internal sealed record InferenceConfig
{
    /// <summary>Whether the bundled model (<c>all-minilm-q4</c>) is served. It takes no memory until the first request for it.</summary>
    public bool Bundled { get; init; } = true;

    /// <summary>Threads that a model computes with; null means one per core.</summary>
    public int? Threads { get; init; }

    /// <summary>
    /// Tokens computed at once, padding included: this limits memory and the time that others wait for a running batch. Larger batches are hardly faster.
    /// </summary>
    public int BatchTokens { get; init; } = 512;

    /// <summary>Texts that may wait for one model. A call that would exceed it is refused at once.</summary>
    public int Queue { get; init; } = 8192;

    public IReadOnlyList<InferenceModelConfig> Models { get; init; } = [];
}

/// <summary>One <c>[[inference.models]]</c> section: a model in a folder in Hugging Face's layout.</summary>
internal sealed record InferenceModelConfig
{
    public required string Name { get; init; }

    /// <summary>The folder's absolute path.</summary>
    public required string Path { get; init; }

    /// <summary>What the model is used for; null: its files decide.</summary>
    public InferenceKind? Kind { get; init; }

    /// <summary>Which graph, if there are several: <c>auto</c>, <c>fp32</c>, <c>int8</c> or <c>q4</c>.</summary>
    public string Variant { get; init; } = "auto";

    /// <summary>Replaces the section's value for this model.</summary>
    public int? Threads { get; init; }

    /// <inheritdoc cref="Threads"/>
    public int? BatchTokens { get; init; }

    /// <inheritdoc cref="Threads"/>
    public int? Queue { get; init; }
}

/// <summary>What a model in a folder is used for.</summary>
internal enum InferenceKind { Embed, Rerank, LateInteraction }
