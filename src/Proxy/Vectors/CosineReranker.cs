using System.Numerics;
using System.Runtime.InteropServices;

namespace Proxy.Vectors;

/// <summary>Reranks by the cosine similarity of embeddings, for when no reranker is available. Its scores are labelled with the method.</summary>
internal sealed class CosineReranker(IEmbedder embedder) : IReranker
{
    public VectorModelInfo Info => embedder.Info;

    public ValueTask<(IReadOnlyList<IReadOnlyList<TextToken>>? Tokens, VectorError? Error)> TokenizeAsync(IReadOnlyList<string> texts, bool special,
        CancellationToken cancellation)
        => embedder.TokenizeAsync(texts, special, cancellation);

    public async ValueTask<(RerankScores? Scores, VectorError? Error)> ScoreAsync(RerankRequest request, CancellationToken cancellation)
    {
        var asked = new EmbedRequest([new(request.Query)])
        {
            Truncate = request.Truncate,
            TruncateLeft = request.TruncateLeft,
            Prompt = PromptKind.Query,
            Normalize = true
        };
        var (query, problem) = await embedder.EmbedAsync(asked, cancellation);
        if (query is null) return (null, problem);
        var offered = asked with { Inputs = [.. request.Documents.Select(text => new EmbedInput(text))], Prompt = PromptKind.Document };
        var (documents, refusal) = await embedder.EmbedAsync(offered, cancellation);
        if (documents is null) return (null, refusal);

        var scores = new float[documents.Count];
        for (var i = 0; i < scores.Length; i++) scores[i] = Dot(query[0], documents[i]);
        return (new(scores, (query.TokensOfAll ?? 0) + (documents.TokensOfAll ?? 0), RerankMethod.Cosine), null);
    }

    /// <summary>Both vectors have length 1, so their dot product is the cosine.</summary>
    private static float Dot(ReadOnlySpan<float> left, ReadOnlySpan<float> right)
    {
        var wideLeft = MemoryMarshal.Cast<float, Vector<float>>(left);
        var wideRight = MemoryMarshal.Cast<float, Vector<float>>(right);
        var sums = Vector<float>.Zero;
        for (var i = 0; i < wideLeft.Length; i++) sums += wideLeft[i] * wideRight[i];
        var dot = Vector.Sum(sums);
        for (var i = wideLeft.Length * Vector<float>.Count; i < left.Length; i++) dot += left[i] * right[i];
        return dot;
    }
}
