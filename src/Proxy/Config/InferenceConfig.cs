namespace Proxy.Config;

/// <summary>The <c>[inference]</c> section: models that run in this process.</summary>
internal sealed record InferenceConfig
{
    /// <summary>Whether the model inside this program (<c>all-minilm-q4</c>) is served. It costs nothing until somebody asks for it.</summary>
    public bool Bundled { get; init; } = true;

    /// <summary>Threads that a model computes with; null: one a core.</summary>
    public int? Threads { get; init; }

    /// <summary>
    /// Tokens that are computed at once, padding included: what memory and the wait behind a running batch are bounded by. More is hardly faster.
    /// </summary>
    public int BatchTokens { get; init; } = 512;

    /// <summary>Texts that may wait for one model. A call that would make it more is refused at once.</summary>
    public int Queue { get; init; } = 8192;

    public IReadOnlyList<InferenceModelConfig> Models { get; init; } = [];
}

/// <summary>One <c>[[inference.models]]</c> section: a model in a folder of the Hugging Face layout.</summary>
internal sealed record InferenceModelConfig
{
    public required string Name { get; init; }

    /// <summary>The folder, absolute.</summary>
    public required string Path { get; init; }

    /// <summary>What it is for; null: what its files say.</summary>
    public InferenceKind? Kind { get; init; }

    /// <summary>Which of several graphs: <c>auto</c>, <c>fp32</c>, <c>int8</c> or <c>q4</c>.</summary>
    public string Variant { get; init; } = "auto";

    /// <summary>Its own number instead of the section's.</summary>
    public int? Threads { get; init; }

    /// <inheritdoc cref="Threads"/>
    public int? BatchTokens { get; init; }

    /// <inheritdoc cref="Threads"/>
    public int? Queue { get; init; }
}

/// <summary>What a model in a folder is for.</summary>
internal enum InferenceKind { Embed, Rerank, LateInteraction }
