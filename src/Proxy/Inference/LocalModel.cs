using System.Diagnostics;
using System.Text;
using Proxy.Inference.Tokenizing;
using Proxy.Vectors;

namespace Proxy.Inference;

/// <summary>The parts of a loaded model.</summary>
internal sealed record LoadedModel(Tokenizer Tokenizer, ModelRunner Runner, BatchQueue Queue, int Width) : IDisposable
{
    public void Dispose()
    {
        Queue.Dispose();
        // The runner is not disposed: a batch may still be computing in it, and the process is ending.
    }
}

/// <summary>A model of this process: a folder's files, loaded at the first use. The kinds of models derive from it.</summary>
internal abstract class LocalModel(string name, ModelFolder folder, ModelSettings settings, ILogger log) : IVectorModel, IDisposable
{
    /// <summary>Characters up to which one thread tokenizes a call; longer calls are spread over the cores.</summary>
    private const int Alone = 8192;

    [ThreadStatic]
    private static TokenList? scratch;

    private readonly Lock gate = new();
    private Task<LoadedModel>? loading;
    private VectorModelInfo info = new(name, folder.Kind)
    {
        Aliases = settings.Aliases,
        MaxInputLength = folder.MaxLength,
        Dimensions = folder.Kind is VectorModelKind.Rerank ? 0 : folder.HiddenSize,
        Pooling = folder.Pooling,
        Matryoshka = folder.Matryoshka,
        Prompts = [.. folder.Prompts.Keys],
        MaxBatchTokens = settings.BatchTokens,
        SizeBytes = folder.Files.Length(folder.Graph),
        Variant = settings.Variant ?? folder.Variant,
    };

    public VectorModelInfo Info => Volatile.Read(ref info);

    protected ModelFolder Folder => folder;

    /// <summary>Loads the model, unless it is loaded. The task fails with the reason.</summary>
    public Task<LoadedModel> LoadAsync()
    {
        lock (gate)
        {
            // After a failure it is tried again, because the cause may have been removed.
            if (loading is null or { IsFaulted: true }) loading = Task.Run(Load);
            return loading;
        }
    }

    /// <summary>Tokens computed so far, and those that only filled batches up. Both are 0 before the first call.</summary>
    public (long Tokens, long Padding, long Batches) Work => Loaded?.Runner.Work ?? default;

    /// <summary>Number of waiting texts.</summary>
    public int Waiting => Loaded?.Queue.Waiting ?? 0;

    public bool IsLoaded => Loaded is not null;

    private LoadedModel? Loaded => loading is { IsCompletedSuccessfully: true } done ? done.Result : null;

    public async ValueTask<(IReadOnlyList<IReadOnlyList<TextToken>>? Tokens, VectorError? Error)> TokenizeAsync(
        IReadOnlyList<string> texts, bool special, CancellationToken cancellation)
    {
        var (model, problem) = await ReadyAsync(cancellation);
        if (model is null) return (null, problem);
        var all = new IReadOnlyList<TextToken>[texts.Count];
        var options = new EncodeOptions { SpecialTokens = special, Offsets = true };
        await ForEachAsync(texts.Count, texts.Sum(static text => (long)text.Length), i => all[i] = Tokens(model.Tokenizer, texts[i], options), cancellation);
        return (all, null);
    }

    public void Dispose() => Loaded?.Dispose();

    /// <summary>The loaded model, or the error.</summary>
    protected async ValueTask<(LoadedModel? Model, VectorError? Error)> ReadyAsync(CancellationToken cancellation)
    {
        if (Loaded is { } there) return (there, null);
        try
        {
            return (await LoadAsync().WaitAsync(cancellation), null);
        }
        catch (Exception problem) when (problem is not OperationCanceledException)
        {
            return (null, new(VectorErrorKind.Failed, $"the model \"{name}\" cannot be loaded: {problem.Message}"));
        }
    }

    /// <summary>Queues the call and waits for its end. Null if all of it was computed.</summary>
    protected async ValueTask<VectorError?> ComputeAsync(LoadedModel model, BatchCall call, CancellationToken cancellation)
    {
        if (call.Sequences.Count == 0) return null;
        cancellation.ThrowIfCancellationRequested();
        if (!model.Queue.TryEnqueue(call))
        {
            return new(VectorErrorKind.Overloaded, $"{model.Queue.Waiting} texts are waiting for the model \"{name}\" already; try again later");
        }

        await using var leaving = cancellation.UnsafeRegister(static (state, token) =>
        {
            var (queue, left) = ((BatchQueue, BatchCall))state!;
            left.Leave(token);
            queue.Forget(left);
        }, (model.Queue, call));
        return await call.Completion;
    }

    /// <summary>Runs an action for each text: on this thread if there is little to do, else on all cores.</summary>
    /// <param name="characters">Number of characters in all texts.</param>
    protected static async ValueTask ForEachAsync(int count, long characters, Action<int> body, CancellationToken cancellation)
    {
        if (count == 1 || characters < Alone)
        {
            for (var i = 0; i < count; i++) body(i);
            return;
        }

        await Task.Run(() => Parallel.For(
            0, count, new ParallelOptions { CancellationToken = cancellation, MaxDegreeOfParallelism = Environment.ProcessorCount }, body), cancellation);
    }

    /// <summary>This thread's list for encoding. Use its content before the next call.</summary>
    protected static TokenList Scratch => scratch ??= new TokenList();

    /// <summary>
    /// The most characters per token, on average: several times what any language needs. A text that is longer than this times the model's length is not
    /// tokenized
    /// as a whole.
    /// </summary>
    private const int CharactersAToken = 64;

    /// <summary>Texts up to this length are always tokenized.</summary>
    private const int ShortText = 64 << 10;

    /// <summary>The part of a far too long text that the model may read, if the rest is cut off anyway; other texts unchanged.</summary>
    protected string Near(string text, bool cutsLeft)
    {
        var most = MostCharacters;
        if (text.Length <= most) return text;
        if (!cutsLeft) return text[..(char.IsHighSurrogate(text[most - 1]) ? most - 1 : most)];
        return text[^(char.IsLowSurrogate(text[^most]) ? most - 1 : most)..];
    }

    /// <summary>The error for a text that is far too long to tokenize; null if its tokens have to be counted.</summary>
    protected VectorError? FarTooLong(int input, string text) => text.Length <= MostCharacters
        ? null
        : new(VectorErrorKind.TooLong, $"input {input} has {text.Length} characters, far more than the {folder.MaxLength} tokens that the model can read")
        {
            Input = input, Limit = folder.MaxLength,
        };

    private int MostCharacters => (int)Math.Clamp((long)folder.MaxLength * CharactersAToken, ShortText, 1 << 30);

    protected static VectorError TooLong(int input, int tokens, int limit) =>
        new(VectorErrorKind.TooLong, $"input {input} has {tokens} tokens; the model reads at most {limit}") { Input = input, Tokens = tokens, Limit = limit };

    /// <summary>The text in the form that the model was trained with.</summary>
    protected string Shaped(string text) => folder.LowerCase ? text.ToLowerInvariant() : text;

    private static List<TextToken> Tokens(Tokenizer tokenizer, string text, EncodeOptions options)
    {
        var list = Scratch;
        tokenizer.Encode(text, options, list);
        var bytes = Encoding.UTF8.GetBytes(text);
        var tokens = new List<TextToken>(list.Count);
        for (var i = 0; i < list.Count; i++)
        {
            var (start, stop) = list.Offsets[i];
            tokens.Add(list.Special[i] || start < 0
                ? new(list.Ids[i], tokenizer.TextOf(list.Ids[i]) ?? "", true, null, null)
                : new(list.Ids[i], Encoding.UTF8.GetString(bytes, start, stop - start), tokenizer.IsSpecial(list.Ids[i]), start, stop)
                {
                    IsUnknown = list.Ids[i] == tokenizer.UnknownId,
                });
        }

        return tokens;
    }

    private LoadedModel Load()
    {
        var began = Stopwatch.GetTimestamp();
        try
        {
            var tokenizer = TokenizerFile.Parse(folder.Files.Read(ModelFolder.Tokenizer), folder.Files.NameOf(ModelFolder.Tokenizer));
            var runner = ModelRunner.Load(folder, settings.Threads);
            var (rank, vector) = (runner.Rank, runner.Width);
            if (folder.Kind is VectorModelKind.Rerank && (rank != 2 || vector != 1))
            {
                throw ModelFolder.Broken(folder.Files, folder.Graph, $"gives {vector} numbers for a pair; a reranker gives one");
            }

            if (folder.Kind is VectorModelKind.LateInteraction && rank != 3) throw ModelFolder.Broken(folder.Files, folder.Graph, "gives no vector per token");
            if (folder.Kind is not VectorModelKind.Rerank) Volatile.Write(ref info, info with { Dimensions = vector });
            log.ModelLoaded(name, folder.Kind.ToString(), Info.Variant!, (int)Stopwatch.GetElapsedTime(began).TotalMilliseconds);
            return new(tokenizer, runner, new BatchQueue(name, runner, settings.BatchTokens, settings.Queue, workers: Math.Min(2, settings.Threads)), vector);
        }
        catch (Exception problem)
        {
            log.ModelNotLoaded(name, problem.Message);
            throw;
        }
    }
}

/// <summary>The settings with which a model runs.</summary>
internal sealed record ModelSettings(int Threads, int BatchTokens, int Queue)
{
    public IReadOnlyList<string> Aliases { get; init; } = [];

    /// <summary>The precision of the weights, if it is not part of the file's name.</summary>
    public string? Variant { get; init; }
}
