using System.Numerics.Tensors;
using Proxy.Inference.Tokenizing;
using Proxy.Vectors;

namespace Proxy.Inference;

/// <summary>An embedding model: one vector per text.</summary>
internal sealed class OnnxEmbedder(string name, ModelFolder folder, ModelSettings settings, ILogger log) : LocalModel(name, folder, settings, log), IEmbedder
{
    public async ValueTask<(VectorBatch? Vectors, VectorError? Error)> EmbedAsync(EmbedRequest request, CancellationToken cancellation)
    {
        var (model, problem) = await ReadyAsync(cancellation);
        if (model is null) return (null, problem);
        var dimensions = request.Dimensions ?? model.Width;
        if (dimensions < 1 || dimensions > model.Width)
            return (null, new(VectorErrorKind.InvalidDimensions, $"the model \"{Info.Name}\" has {model.Width} dimensions; {dimensions} is not possible"));

        var call = new PooledCall(request.Inputs.Count, dimensions, model.Runner.Rank == 2 ? null : Folder.Pooling, request.Normalize ?? Folder.Normalizes)
        {
            IsBackground = request.IsBackground,
        };
        var (tokens, refusal) = await EncodeAsync(model, request, call, cancellation);
        if (tokens is null) return (null, refusal);
        if (await ComputeAsync(model, call, cancellation) is { } failure) return (null, failure);
        return (new(call.Values, dimensions, tokens), null);
    }

    public async ValueTask<(TokenVectors? Vectors, VectorError? Error)> EmbedTokensAsync(EmbedRequest request, CancellationToken cancellation)
    {
        var (model, problem) = await ReadyAsync(cancellation);
        if (model is null) return (null, problem);
        if (model.Runner.Rank == 2)
        {
            return (null, new(VectorErrorKind.WrongKind, $"the graph of \"{Info.Name}\" pools the vectors itself, so it has no vector per token"));
        }


        var call = new TokenCall(request.Inputs.Count);
        var (tokens, refusal) = await EncodeAsync(model, request, call, cancellation);
        if (tokens is null) return (null, refusal);
        if (await ComputeAsync(model, call, cancellation) is { } failure) return (null, failure);
        return (new([.. call.Rows.Select(static row => (ReadOnlyMemory<float>)row)], model.Width, tokens), null);
    }

    private async ValueTask<(int[]? Tokens, VectorError? Error)> EncodeAsync(
        LoadedModel model, EmbedRequest request, BatchCall call, CancellationToken cancellation)
    {
        if (!TryPrompt(request, out var prompt, out var unknown)) return (null, unknown);
        var inputs = request.Inputs;
        var sequences = new Sequence[inputs.Count];
        VectorError? first = null;
        await ForEachAsync(inputs.Count, inputs.Sum(static input => (long)(input.Text?.Length ?? input.TokenIds!.Length)), i =>
        {
            var error = inputs[i].Text is { } text
                ? Encode(model, prompt.Length > 0 ? prompt + text : text, request, i, out var ids) : Check(model, inputs[i].TokenIds!, request, i, out ids);
            if (error is null) sequences[i] = new(call, i, ids, null, ids.Length);
            else Interlocked.CompareExchange(ref first, error, null);
        }, cancellation);
        if (first is not null) return (null, first);
        call.Sequences = sequences;
        return ([.. sequences.Select(static sequence => sequence.Length)], null);
    }

    private VectorError? Encode(LoadedModel model, string text, EmbedRequest request, int index, out int[] ids)
    {
        ids = [];
        if (!request.Truncate && FarTooLong(index, text) is { } refusal) return refusal;
        var list = Scratch;
        model.Tokenizer.Encode(
            Shaped(Near(text, request.TruncateLeft)), new() { MaxLength = Folder.MaxLength, Cut = request.TruncateLeft ? CutSide.Left : CutSide.Right }, list);
        ids = list.Count > 0 ? list.Ids.ToArray() : [Folder.PadId];
        return !request.Truncate && list.FullLength > Folder.MaxLength ? TooLong(index, list.FullLength, Folder.MaxLength) : null;
    }

    private VectorError? Check(LoadedModel model, int[] given, EmbedRequest request, int index, out int[] ids)
    {
        ids = given;
        if (given.Length == 0) return new(VectorErrorKind.InvalidInput, $"input {index} has no tokens") { Input = index };
        var limit = Folder.MaxLength;
        if (given.Length > limit)
        {
            if (!request.Truncate) return TooLong(index, given.Length, limit);
            ids = request.TruncateLeft ? given[^limit..] : given[..limit];
        }

        foreach (var id in ids)
        {
            if (id < 0 || id >= model.Tokenizer.Size)
            {
                return new(
                    VectorErrorKind.InvalidInput, $"input {index} has the token id {id}; the model knows 0 to {model.Tokenizer.Size - 1}") { Input = index };
            }
        }

        return null;
    }

    private bool TryPrompt(EmbedRequest request, out string prompt, out VectorError? error)
    {
        (prompt, error) = ("", null);
        if (request.PromptName is { } named)
        {
            if (Folder.Prompts.TryGetValue(named, out prompt!)) return true;
            prompt = "";
            error = new(VectorErrorKind.UnknownPrompt, Folder.Prompts.Count == 0
                ? $"the model \"{Info.Name}\" defines no prompts"
                : $"the model \"{Info.Name}\" has no prompt \"{named}\"; it has {string.Join(", ", Folder.Prompts.Keys.Select(static key => $"\"{key}\""))}");
            return false;
        }

        string[] names = request.Prompt switch
        {
            PromptKind.Query => ["query"],
            PromptKind.Document => ["document", "passage", "corpus"],
            _ => Folder.DefaultPrompt is { } unsaid ? [unsaid] : [],
        };
        prompt = names.Select(Folder.Prompts.GetValueOrDefault).FirstOrDefault(static text => text is not null) ?? "";
        return true;
    }

    /// <summary>Pools, cuts and normalises each vector when it is computed.</summary>
    /// <param name="pooling">Null if the graph pools.</param>
    private sealed class PooledCall(int count, int dimensions, Pooling? pooling, bool normalize) : BatchCall
    {
        public float[] Values { get; } = new float[count * dimensions];

        protected override void Take(int index, ReadOnlySpan<float> row, int width)
        {
            var vector = Values.AsSpan(index * dimensions, dimensions);
            switch (pooling)
            {
                case Pooling.Mean:
                    var tokens = row.Length / width;
                    for (var i = 0; i < tokens; i++) TensorPrimitives.Add(vector, row.Slice(i * width, dimensions), vector);
                    TensorPrimitives.Divide(vector, tokens, vector);
                    break;
                case Pooling.LastToken:
                    row.Slice(row.Length - width, dimensions).CopyTo(vector);
                    break;
                default:
                    row[..dimensions].CopyTo(vector);
                    break;
            }

            if (normalize && TensorPrimitives.Norm<float>(vector) is > 0 and var length) TensorPrimitives.Divide(vector, length, vector);
        }
    }

    private sealed class TokenCall(int count) : BatchCall
    {
        public float[][] Rows { get; } = new float[count][];

        protected override void Take(int index, ReadOnlySpan<float> row, int width) => Rows[index] = row.ToArray();
    }
}
