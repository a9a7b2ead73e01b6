namespace Proxy.Vectors;

/// <summary>A model that runs in this process or at a host. Made without cost: one of this process reads its weights when they are first needed. Safe from any thread.</summary>
internal interface IVectorModel
{
    VectorModelInfo Info { get; }

    /// <summary>The tokens of each text, or why not.</summary>
    /// <param name="special">Add the special tokens that the model would read.</param>
    ValueTask<(IReadOnlyList<IReadOnlyList<TextToken>>? Tokens, VectorError? Error)> TokenizeAsync(IReadOnlyList<string> texts, bool special, CancellationToken cancellation);
}

/// <summary>Turns texts into vectors. Cancelled, it drops the work that nobody waits for and throws <see cref="OperationCanceledException"/>; all else that goes wrong is a value.</summary>
internal interface IEmbedder : IVectorModel
{
    /// <summary>One vector an input. A late-interaction model has none and answers <see cref="VectorErrorKind.WrongKind"/>.</summary>
    ValueTask<(VectorBatch? Vectors, VectorError? Error)> EmbedAsync(EmbedRequest request, CancellationToken cancellation);

    /// <summary>One vector a token.</summary>
    ValueTask<(TokenVectors? Vectors, VectorError? Error)> EmbedTokensAsync(EmbedRequest request, CancellationToken cancellation);
}

/// <summary>Scores documents against a query. Cancellation as with <see cref="IEmbedder"/>.</summary>
internal interface IReranker : IVectorModel
{
    ValueTask<(RerankScores? Scores, VectorError? Error)> ScoreAsync(RerankRequest request, CancellationToken cancellation);
}
