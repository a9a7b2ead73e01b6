using System.Numerics.Tensors;
using Proxy.Inference.Tokenizing;
using Proxy.Vectors;

namespace Proxy.Inference;

/// <summary>
/// A ColBERT model, with a vector per token. For each token of the query, the best match among the document's tokens is taken; the document's score is the sum
/// of these (MaxSim).
/// </summary>
internal sealed class LateInteractionModel(
    string name, ModelFolder folder, ModelSettings settings, ILogger log) : LocalModel(name, folder, settings, log), IEmbedder, IReranker
{
    private readonly LateInteraction late = folder.Late ?? throw new ArgumentException("the folder is of another kind", nameof(folder));
    private Markers? markers;

    public ValueTask<(VectorBatch? Vectors, VectorError? Error)> EmbedAsync(EmbedRequest request, CancellationToken cancellation) =>
        new((null, new VectorError(VectorErrorKind.WrongKind, $"the model \"{Info.Name}\" has a vector for each token and none for a whole text")));

    public async ValueTask<(TokenVectors? Vectors, VectorError? Error)> EmbedTokensAsync(EmbedRequest request, CancellationToken cancellation)
    {
        var (model, problem) = await ReadyAsync(cancellation);
        if (model is null) return (null, problem);
        if (request.Inputs.Select((input, i) => (input, i)).FirstOrDefault(static entry => entry.input.Text is null) is { input.TokenIds: not null, i: var at })
            return (null, new(VectorErrorKind.InvalidInput, $"input {at} is token ids; the model \"{Info.Name}\" needs the text") { Input = at });

        var call = new RowsCall(request.Inputs.Count);
        var cutting = new Cutting(request.Truncate, request.TruncateLeft, null);
        if (await EncodeAsync(
            model, call, [.. request.Inputs.Select(static input => input.Text!)], request.Prompt is PromptKind.Query, cutting, cancellation) is { } refusal)
        {
            return (null, refusal);
        }

        if (await ComputeAsync(model, call, cancellation) is { } failure) return (null, failure);
        return (
            new([.. call.Rows.Select(static row => (ReadOnlyMemory<float>)row)], model.Width, [.. call.Sequences.Select(static sequence => sequence.Length)]),
            null);
    }

    public async ValueTask<(RerankScores? Scores, VectorError? Error)> ScoreAsync(RerankRequest request, CancellationToken cancellation)
    {
        var (model, problem) = await ReadyAsync(cancellation);
        if (model is null) return (null, problem);
        // A query that is too long is never refused; the model's own rule cuts it to 32 tokens.
        var query = new RowsCall(1);
        if (await EncodeAsync(model, query, [request.Query], isQuery: true, new(true, request.TruncateLeft, null), cancellation) is { } odd) return (null, odd);
        if (await ComputeAsync(model, query, cancellation) is { } broken) return (null, broken);

        var documents = new ScoreCall(request.Documents.Count, query.Rows[0]);
        var cutting = new Cutting(request.Truncate, request.TruncateLeft, request.MaxTokensPerDocument);
        if (await EncodeAsync(model, documents, request.Documents, isQuery: false, cutting, cancellation) is { } refusal) return (null, refusal);
        if (await ComputeAsync(model, documents, cancellation) is { } failure) return (null, failure);

        var scores = documents.Scores;
        if (!request.RawScores) TensorPrimitives.Divide(scores, query.Sequences[0].Length, scores);
        return (new(scores, query.Sequences[0].Length + documents.Sequences.Sum(static sequence => sequence.Length), RerankMethod.LateInteraction), null);
    }

    /// <summary>The sum, over the rows of the query, of the largest dot product with a row of the document.</summary>
    internal static float MaxSim(ReadOnlySpan<float> query, ReadOnlySpan<float> document, int width)
    {
        if (document.IsEmpty) return 0;
        var sum = 0f;
        for (var q = 0; q < query.Length; q += width)
        {
            var row = query.Slice(q, width);
            var best = float.NegativeInfinity;
            for (var d = 0; d < document.Length; d += width) best = Math.Max(best, TensorPrimitives.Dot(row, document.Slice(d, width)));
            sum += best;
        }

        return sum;
    }

    private async ValueTask<VectorError?> EncodeAsync(
        LoadedModel model, RowsCall call, IReadOnlyList<string> texts, bool isQuery, Cutting cutting, CancellationToken cancellation)
    {
        var marks = markers ??= Markers.Of(model.Tokenizer, late);
        var limit = Math.Min(isQuery ? late.QueryLength : late.DocumentLength, Folder.MaxLength);
        if (!isQuery && cutting.Most is { } most) limit = Math.Clamp(most + 3, 4, limit); // the caller's limit does not count [CLS], the marker and [SEP]
        var sequences = new Sequence[texts.Count];
        VectorError? first = null;
        await ForEachAsync(texts.Count, texts.Sum(static text => (long)text.Length), i =>
        {
            if (!isQuery && !cutting.Allowed && FarTooLong(i, texts[i]) is { } refusal)
            {
                Interlocked.CompareExchange(ref first, refusal, null);
                return;
            }

            var list = Scratch;
            model.Tokenizer.Encode(
                Shaped(Near(texts[i], cutting.Left)), new() { MaxLength = limit - 1, Cut = cutting.Left ? CutSide.Left : CutSide.Right }, list);
            if (!isQuery && !cutting.Allowed && list.FullLength + 1 > limit)
            {
                Interlocked.CompareExchange(ref first, TooLong(i, list.FullLength + 1, limit), null);
            }

            // The marker comes after the first token.
            var text = list.Ids;
            var said = text.Length + 1;
            var ids = new int[isQuery && late.Expand ? Math.Max(limit, said) : said];
            var head = Math.Min(1, text.Length);
            text[..head].CopyTo(ids);
            ids[head] = isQuery ? marks.Query : marks.Document;
            text[head..].CopyTo(ids.AsSpan(head + 1));
            ids.AsSpan(said).Fill(marks.Mask);
            sequences[i] = new(call, i, ids, null, late.AttendToExpansion ? ids.Length : said);
            if (!isQuery) call.Skip = marks.Skip;
        }, cancellation);
        call.Sequences = sequences;
        return first;
    }

    private readonly record struct Cutting(bool Allowed, bool Left, int? Most);

    /// <summary>The token ids with a special meaning.</summary>
    private sealed record Markers(int Query, int Document, int Mask, HashSet<int> Skip)
    {
        public static Markers Of(Tokenizer tokenizer, LateInteraction late) => new(
            Id(tokenizer, late.QueryPrefix, "[unused0]"), Id(tokenizer, late.DocumentPrefix, "[unused1]"), Id(tokenizer, "[MASK]", "<mask>"),
            [.. late.Skip.Select(tokenizer.IdOf).OfType<int>()]);

        private static int Id(Tokenizer tokenizer, string marker, string otherwise) =>
            tokenizer.IdOf(marker) ?? tokenizer.IdOf(marker.Trim()) ?? tokenizer.IdOf(otherwise)
                ?? throw new InvalidDataException($"the tokenizer has no \"{marker}\"");
    }

    /// <summary>Keeps the vectors of the tokens that count, each scaled to length 1.</summary>
    private class RowsCall(int count) : BatchCall
    {
        public float[][] Rows { get; } = new float[count][];

        public HashSet<int>? Skip { get; set; }

        protected override void Take(int index, ReadOnlySpan<float> row, int width)
        {
            var ids = Sequences[index].Ids;
            var kept = new float[row.Length];
            var length = 0;
            for (var i = 0; i < ids.Length; i++)
            {
                if (Skip?.Contains(ids[i]) == true) continue;
                var from = row.Slice(i * width, width);
                var to = kept.AsSpan(length, width);
                if (TensorPrimitives.Norm(from) is > 0 and var norm) TensorPrimitives.Divide(from, norm, to);
                else from.CopyTo(to);
                length += width;
            }

            Rows[index] = length == kept.Length ? kept : kept[..length];
        }
    }

    private sealed class ScoreCall(int count, float[] query) : RowsCall(count)
    {
        public float[] Scores { get; } = new float[count];

        protected override void Take(int index, ReadOnlySpan<float> row, int width)
        {
            base.Take(index, row, width);
            Scores[index] = MaxSim(query, Rows[index], width);
            Rows[index] = [];
        }
    }
}
