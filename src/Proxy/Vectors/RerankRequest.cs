namespace Proxy.Vectors;

/// <summary>A query, and the documents to score against it.</summary>
internal sealed record RerankRequest(string Query, IReadOnlyList<string> Documents)
{
    /// <summary>
    /// True: return the model's own number (a cross-encoder's logit, the sum of MaxSim). False: a number from 0 to 1 for a cross-encoder (the sigmoid of its
    /// logit), and at most 1 for late interaction (the mean of MaxSim).
    /// </summary>
    public bool RawScores { get; init; }

    /// <summary>The <c>traceparent</c> that hosts get, if not that of the call.</summary>
    public string? TraceParent { get; init; }

    /// <summary>Cut inputs that are too long; otherwise they fail with <see cref="VectorErrorKind.TooLong"/>, whose input is the document's index.</summary>
    public bool Truncate { get; init; } = true;

    /// <summary>Cut from the beginning and not from the end.</summary>
    public bool TruncateLeft { get; init; }

    /// <summary>The most tokens that are read of each document; null: as many as the model accepts.</summary>
    public int? MaxTokensPerDocument { get; init; }
}

/// <summary>How a score was computed.</summary>
internal enum RerankMethod
{
    CrossEncoder,
    LateInteraction,

    /// <summary>The cosine of two embeddings: a substitute for a reranker.</summary>
    Cosine,
}

/// <summary>One score per document, in the documents' order, and the tokens read for all of them together.</summary>
internal sealed record RerankScores(IReadOnlyList<float> Scores, int Tokens, RerankMethod Method);
