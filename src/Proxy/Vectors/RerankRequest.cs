namespace Proxy.Vectors;

/// <summary>A query, and the documents to score against it.</summary>
internal sealed record RerankRequest(string Query, IReadOnlyList<string> Documents)
{
    /// <summary>The model's own number (a cross-encoder's logit, the sum of MaxSim); otherwise one from 0 to 1 for a cross-encoder (its sigmoid) and at most 1 for late interaction (the mean).</summary>
    public bool RawScores { get; init; }

    /// <summary>Cut what is too long; otherwise <see cref="VectorErrorKind.TooLong"/>, whose input is the document's index.</summary>
    public bool Truncate { get; init; } = true;

    /// <summary>Cut from the head, not from the tail.</summary>
    public bool TruncateLeft { get; init; }

    /// <summary>Tokens of each document to read at most; null: as many as the model takes.</summary>
    public int? MaxTokensPerDocument { get; init; }
}

/// <summary>Where a score comes from.</summary>
internal enum RerankMethod
{
    CrossEncoder,
    LateInteraction,

    /// <summary>The cosine of two embeddings: a convenience, not a reranker.</summary>
    Cosine,
}

/// <summary>One score a document, in the documents' order, and the tokens read for all of them together.</summary>
internal sealed record RerankScores(IReadOnlyList<float> Scores, int Tokens, RerankMethod Method);
