namespace Proxy.Vectors;

/// <summary>What a model does with text.</summary>
internal enum VectorModelKind
{
    /// <summary>One vector a text.</summary>
    Embed,

    /// <summary>A cross-encoder: one score for a query and a document read together.</summary>
    Rerank,

    /// <summary>One vector a token (ColBERT): embeds token by token, and reranks by MaxSim.</summary>
    LateInteraction,
}

/// <summary>How the token vectors of a text become one.</summary>
internal enum Pooling { Mean, FirstToken, LastToken }

/// <summary>What is known of a model without loading it: listings, <c>/info</c> and the checks before a call read this. Immutable.</summary>
internal sealed record VectorModelInfo(string Name, VectorModelKind Kind)
{
    /// <summary>Other names that the model answers to.</summary>
    public IReadOnlyList<string> Aliases { get; init; } = [];

    /// <summary>Longest input, in tokens, the special ones included.</summary>
    public required int MaxInputLength { get; init; }

    /// <summary>Length of a vector; 0 for a cross-encoder, and for a model at a host, which does not say.</summary>
    public int Dimensions { get; init; }

    public Pooling Pooling { get; init; }

    /// <summary>Trained so that the head of a vector is a vector (Matryoshka): shorter ones are as good as they can be.</summary>
    public bool Matryoshka { get; init; }

    /// <summary>Names of the prompts that the model's folder defines.</summary>
    public IReadOnlyList<string> Prompts { get; init; } = [];

    /// <summary>Inputs (or documents) that one call may bring.</summary>
    public int MaxInputs { get; init; } = 2048;

    /// <summary>Tokens that one batch may hold.</summary>
    public int MaxBatchTokens { get; init; } = 16384;

    /// <summary>The model file's length in bytes; null where nobody looked.</summary>
    public long? SizeBytes { get; init; }

    /// <summary>How the weights are kept: fp32, int8, q4.</summary>
    public string? Variant { get; init; }
}
