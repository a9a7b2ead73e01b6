using Proxy.Vectors;

namespace Proxy.Tests.Http;

/// <summary>A model without weights: the length of a text determines its vector; the letters shared with the query determine a document's score.</summary>
internal sealed class FakeVectorModel(VectorModelInfo info) : IEmbedder, IReranker
{
    public VectorModelInfo Info => info;

    /// <summary>If set, every call is refused with this error.</summary>
    public VectorError? Refusal { get; set; }

    public List<EmbedRequest> Asked { get; } = [];

    public ValueTask<(VectorBatch? Vectors, VectorError? Error)> EmbedAsync(EmbedRequest request, CancellationToken cancellation)
    {
        Asked.Add(request);
        if (Refusal is { } refusal) return new((null, refusal));
        var batch = new VectorBatch(request.Inputs.SelectMany(input => Vector(input)).ToArray(), info.Dimensions, [.. request.Inputs.Select(_ => 3)]);
        if (request.Normalize is not false) batch = batch.Normalized();
        return new((request.Dimensions is { } cut && cut < info.Dimensions ? batch.Cut(cut, request.Normalize is not false) : batch, null));
    }

    public ValueTask<(TokenVectors? Vectors, VectorError? Error)> EmbedTokensAsync(EmbedRequest request, CancellationToken cancellation)
        => new((new TokenVectors([.. request.Inputs.Select(input => (ReadOnlyMemory<float>)(float[])[.. Vector(input), .. Vector(input)])], info.Dimensions,
            [.. request.Inputs.Select(_ => 2)]), null));

    public ValueTask<(RerankScores? Scores, VectorError? Error)> ScoreAsync(RerankRequest request, CancellationToken cancellation)
        => new(Refusal is { } refusal
            ? (null, refusal)
            : (new RerankScores([.. request.Documents.Select(document => (float)document.Intersect(request.Query).Count() / request.Query.Length)], 7,
            RerankMethod.CrossEncoder), null));

    public ValueTask<(IReadOnlyList<IReadOnlyList<TextToken>>? Tokens, VectorError? Error)> TokenizeAsync(IReadOnlyList<string> texts, bool special,
        CancellationToken cancellation)
        => new(([.. texts.Select(text => (IReadOnlyList<TextToken>)(special
            ? [new(101, "[CLS]", true, null, null), new(7, text, false, 0, text.Length)]
            : [new(7, text, false, 0, text.Length)]))], null));

    private float[] Vector(EmbedInput input) =>
        [.. Enumerable.Range(0, info.Dimensions).Select(i => i == (input.Text?.Length ?? input.TokenIds!.Length) % info.Dimensions ? 2f : 0f)];
}
