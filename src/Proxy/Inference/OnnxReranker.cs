using System.Text;
using Proxy.Inference.Tokenizing;
using Proxy.Vectors;

namespace Proxy.Inference;

/// <summary>A cross-encoder: it reads query and document together and gives one number.</summary>
internal sealed class OnnxReranker(string name, ModelFolder folder, ModelSettings settings, ILogger log) : LocalModel(name, folder, settings, log), IReranker
{
    public async ValueTask<(RerankScores? Scores, VectorError? Error)> ScoreAsync(RerankRequest request, CancellationToken cancellation)
    {
        var (model, problem) = await ReadyAsync(cancellation);
        if (model is null) return (null, problem);
        var documents = request.Documents;
        var call = new PairCall(documents.Count);
        var sequences = new Sequence[documents.Count];
        var query = Shaped(Near(request.Query, request.TruncateLeft)); // only once, because there may be many documents
        VectorError? first = null;
        await ForEachAsync(documents.Count, documents.Sum(text => (long)text.Length + request.Query.Length), i =>
        {
            if (!request.Truncate && (FarTooLong(i, documents[i]) ?? FarTooLong(i, request.Query)) is { } refusal)
            {
                Interlocked.CompareExchange(ref first, refusal, null);
                return;
            }

            var list = Scratch;
            var document = Shaped(Near(documents[i], request.TruncateLeft));
            if (request.MaxTokensPerDocument is { } most) document = Head(model.Tokenizer, document, most);
            model.Tokenizer.Encode(query, document, new() { MaxLength = Folder.MaxLength, Cut = request.TruncateLeft ? CutSide.Left : CutSide.Right }, list);
            if (!request.Truncate && list.FullLength > Folder.MaxLength)
            {
                Interlocked.CompareExchange(ref first, TooLong(i, list.FullLength, Folder.MaxLength), null);
            }

            sequences[i] = new(call, i, list.Count > 0 ? list.Ids.ToArray() : [Folder.PadId], list.TypeIds.ToArray(), Math.Max(1, list.Count));
        }, cancellation);
        if (first is not null) return (null, first);
        call.Sequences = sequences;
        if (await ComputeAsync(model, call, cancellation) is { } failure) return (null, failure);

        if (!request.RawScores)
        {
            for (var i = 0; i < call.Logits.Length; i++) call.Logits[i] = 1 / (1 + MathF.Exp(-call.Logits[i]));
        }

        return (new(call.Logits, sequences.Sum(static sequence => sequence.Length), RerankMethod.CrossEncoder), null);
    }

    /// <summary>The text's first tokens, as text.</summary>
    internal static string Head(Tokenizer tokenizer, string text, int tokens)
    {
        var list = Scratch;
        tokenizer.Encode(text, new() { SpecialTokens = false, MaxLength = tokens, Offsets = true }, list);
        if (list.FullLength <= tokens) return text;
        return list.Count == 0 ? "" : Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(text).AsSpan(0, list.Offsets[^1].Stop));
    }

    private sealed class PairCall(int count) : BatchCall
    {
        public float[] Logits { get; } = new float[count];

        protected override void Take(int index, ReadOnlySpan<float> row, int width) => Logits[index] = row[0];
    }
}
