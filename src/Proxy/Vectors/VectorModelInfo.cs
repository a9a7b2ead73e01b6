namespace Proxy.Vectors;

/// <summary>What a model does with text.</summary>
internal enum VectorModelKind
{
    /// <summary>One vector per text.</summary>
    Embed,

    /// <summary>A cross-encoder: one score for a query and a document read together.</summary>
    Rerank,

    /// <summary>One vector per token (ColBERT): embeds token by token, and reranks by MaxSim.</summary>
    LateInteraction,
}

/// <summary>How the token vectors of a text become one vector.</summary>
internal enum Pooling { Mean, FirstToken, LastToken }

/// <summary>What is known about a model without loading it, for listings, <c>/info</c> and the checks before a call. Immutable.</summary>
internal sealed record VectorModelInfo(string Name, VectorModelKind Kind)
{
    /// <summary>Other names that the model answers to.</summary>
    public IReadOnlyList<string> Aliases { get; init; } = [];

    /// <summary>Longest input in tokens, special tokens included.</summary>
    public required int MaxInputLength { get; init; }

    /// <summary>Numbers per vector; 0 for a cross-encoder, and for a model at a host, because hosts do not report it.</summary>
    public int Dimensions { get; init; }

    public Pooling Pooling { get; init; }

    /// <summary>Trained so that the first numbers of a vector are a usable vector by themselves, so that vectors may be shortened.</summary>
    public bool Matryoshka { get; init; }

    /// <summary>Names of the prompts that the model's folder defines.</summary>
    public IReadOnlyList<string> Prompts { get; init; } = [];

    /// <summary>Most inputs (or documents) in one call.</summary>
    public int MaxInputs { get; init; } = 2048;

    /// <summary>Most tokens in one batch.</summary>
    public int MaxBatchTokens { get; init; } = 16384;

    /// <summary>The model file's size in bytes; null if unknown.</summary>
    public long? SizeBytes { get; init; }

    /// <summary>How the weights are stored: fp32, int8, q4.</summary>
    public string? Variant { get; init; }
}
