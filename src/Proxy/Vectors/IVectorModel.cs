namespace Proxy.Vectors;

/// <summary>
/// A model that runs in this process or at a host. Cheap to construct: a model of this process reads its weights when they are first needed. Thread-safe.
/// </summary>
internal interface IVectorModel
{
    VectorModelInfo Info { get; }

    /// <summary>The tokens of each text, or an error.</summary>
    /// <param name="special">Add the special tokens that the model would read.</param>
    ValueTask<(IReadOnlyList<IReadOnlyList<TextToken>>? Tokens, VectorError? Error)> TokenizeAsync(IReadOnlyList<string> texts, bool special,
        CancellationToken cancellation);
}

/// <summary>
/// Turns texts into vectors. When a call is cancelled, its pending work is dropped and the method throws <see cref="OperationCanceledException"/>;
/// every other failure is returned as a value.
/// </summary>
internal interface IEmbedder : IVectorModel
{
    /// <summary>One vector per input. A late-interaction model cannot compute that and returns <see cref="VectorErrorKind.WrongKind"/>.</summary>
    ValueTask<(VectorBatch? Vectors, VectorError? Error)> EmbedAsync(EmbedRequest request, CancellationToken cancellation);

    /// <summary>One vector per token.</summary>
    ValueTask<(TokenVectors? Vectors, VectorError? Error)> EmbedTokensAsync(EmbedRequest request, CancellationToken cancellation);
}

/// <summary>Scores documents against a query. Cancellation works as in <see cref="IEmbedder"/>.</summary>
internal interface IReranker : IVectorModel
{
    ValueTask<(RerankScores? Scores, VectorError? Error)> ScoreAsync(RerankRequest request, CancellationToken cancellation);
}
