using Microsoft.Extensions.Time.Testing;
using Proxy.Chat;
using Proxy.Knowledge;
using Proxy.Knowledge.Analysis;
using Proxy.Knowledge.Search;
using Proxy.Vectors;

namespace Proxy.Tests.Harness;

/// <summary>Workspaces in memory, a model whose vectors a test gives, and the search over them.</summary>
internal sealed class SearchBox
{
    public const string Model = "test-embed";

    private readonly ITextAnalyzer analyzer;
    private readonly int dimensions;
    private int ids;

    public SearchBox(ITextAnalyzer? analyzer = null, int dimensions = 2)
    {
        (this.analyzer, this.dimensions) = (analyzer ?? new TextAnalyzer(), dimensions);
        Embedder = new(Model, dimensions);
        Models.Add(Model, Embedder);
    }

    public MemoryKnowledgeStore Store { get; } = new();
    public FakeTimeProvider Time { get; } = new();
    public ScriptedEmbedder Embedder { get; }

    /// <summary>The models that are served, by name.</summary>
    public Dictionary<string, IVectorModel> Models { get; } = [];

    /// <summary>The name of the reranker; null: none is configured.</summary>
    public string? Reranker { get; set; }

    public async Task<string> AddWorkspaceAsync(params VectorSet[] sets)
    {
        var id = $"vs_{++ids}";
        var now = TimeProvider.System.GetUtcNow();
        await Store.SaveAsync(
            new Workspace
            {
                Id = id, Owner = "local", Name = $"w{ids}", CreatedAt = now, LastActiveAt = now,
                Vectors = sets is [] ? [new("1", Model, dimensions)] : sets,
            },
            default);
        return id;
    }

    /// <summary>Adds a completed file of these chunks. Each has one vector, which is scaled to length 1.</summary>
    public Task<WorkspaceFile> AddAsync(string workspace, string name, params (string Text, float[] Vector)[] chunks) =>
        AddAsync(workspace, name, "{}", [.. chunks.Select(static chunk => new NewChunk { Text = chunk.Text, Vectors = [Unit(chunk.Vector)], Terms = null! })]);

    /// <param name="attributes">A JSON object.</param>
    /// <param name="chunks">Their terms are made here.</param>
    /// <param name="isLast">False: the file is not completed.</param>
    public async Task<WorkspaceFile> AddAsync(string workspace, string name, string attributes, IReadOnlyList<NewChunk> chunks, bool isLast = true)
    {
        var file = await Store.AttachAsync(
            new()
            {
                Workspace = workspace, FileId = $"file-{++ids}", Name = name, Sha256 = "", Attributes = attributes, CreatedAt = TimeProvider.System.GetUtcNow(),
            },
            default);
        var made = chunks.Select(chunk => chunk with { Terms = analyzer.TermsOf(ChunkTitle.Of(name, chunk.Heading), chunk.Text) }).ToList();
        Assert.True(await Store.AppendAsync("test", TimeSpan.FromMinutes(1), file, 0, made, isLast, default));
        return file;
    }

    public async Task<SearchOutcome> SearchAsync(string workspace, SearchRequest request)
    {
        var (outcome, error) = await TryAsync([workspace], request);
        Assert.Null(error);
        return outcome!;
    }

    public async Task<(SearchOutcome? Outcome, ProxyError? Error)> TryAsync(
        IReadOnlyList<string> workspaces, SearchRequest request, CancellationToken cancellation = default)
    {
        var found = new List<Workspace>();
        foreach (var id in workspaces) found.Add((await Store.WorkspaceAsync(id, default))!);
        return await NewSearch().SearchAsync(found, request, cancellation);
    }

    /// <summary>The search over these workspaces with these models.</summary>
    public KnowledgeSearch NewSearch() => new(Store, new(new Served(Models), [Model], Reranker), analyzer, Time);

    internal static float[] Unit(float[] vector)
    {
        var length = Math.Sqrt(vector.Sum(static value => (double)value * value));
        return Array.ConvertAll(vector, value => (float)(value / length));
    }

    private sealed class Served(Dictionary<string, IVectorModel> models) : IVectorModels
    {
        public IEmbedder? Embedder(string model) => models.GetValueOrDefault(model) as IEmbedder;

        public IReranker? Reranker(string model) => models.GetValueOrDefault(model) as IReranker;
    }
}

/// <summary>A model whose vectors a test gives by text. Texts without one get the first axis.</summary>
internal sealed class ScriptedEmbedder(string name, int dimensions) : IEmbedder
{
    public Dictionary<string, float[]> Vectors { get; } = [];
    public VectorError? Error { get; set; }

    /// <summary>Called before an answer.</summary>
    public Func<CancellationToken, Task>? Before { get; set; }

    /// <summary>The texts of each call.</summary>
    public List<IReadOnlyList<string>> Calls { get; } = [];

    /// <summary>Words that the model does not know.</summary>
    public HashSet<string> Unknown { get; } = [];

    public VectorModelInfo Info { get; } = new(name, VectorModelKind.Embed) { MaxInputLength = 256 };

    public async ValueTask<(VectorBatch? Vectors, VectorError? Error)> EmbedAsync(EmbedRequest request, CancellationToken cancellation)
    {
        Assert.Equal((PromptKind.Query, true, true), (request.Prompt, request.Truncate, request.Normalize is true));
        Calls.Add([.. request.Inputs.Select(static input => input.Text!)]);
        if (Before is { } wait) await wait(cancellation);
        if (Error is not null) return (null, Error);
        float[] axis = [1, .. new float[dimensions - 1]];
        float[] values = [.. request.Inputs.SelectMany(input => SearchBox.Unit(Vectors.GetValueOrDefault(input.Text!, axis)))];
        return (new(values, dimensions, []), null);
    }

    public ValueTask<(TokenVectors? Vectors, VectorError? Error)> EmbedTokensAsync(EmbedRequest request, CancellationToken cancellation) =>
        throw new NotSupportedException();

    public ValueTask<(IReadOnlyList<IReadOnlyList<TextToken>>? Tokens, VectorError? Error)> TokenizeAsync(
        IReadOnlyList<string> texts, bool special, CancellationToken cancellation) =>
        new(([.. texts.Select(text => (IReadOnlyList<TextToken>)[.. text.Split(' ').Select(Token)])], null));

    private TextToken Token(string word) => new(0, word, false, 0, word.Length) { IsUnknown = Unknown.Contains(word) };
}

/// <summary>A reranker whose scores a test gives by a word of the document.</summary>
internal sealed class ScriptedReranker(string name) : IReranker
{
    public Dictionary<string, float> Scores { get; } = [];
    public VectorError? Error { get; set; }
    public List<RerankRequest> Calls { get; } = [];
    public VectorModelInfo Info { get; } = new(name, VectorModelKind.Rerank) { MaxInputLength = 512 };

    public ValueTask<(RerankScores? Scores, VectorError? Error)> ScoreAsync(RerankRequest request, CancellationToken cancellation)
    {
        Calls.Add(request);
        if (Error is not null) return new((null, Error));
        float[] scores = [.. request.Documents.Select(text => Scores.FirstOrDefault(pair => text.Contains(pair.Key, StringComparison.Ordinal)).Value)];
        return new((new(scores, 0, RerankMethod.CrossEncoder), null));
    }

    public ValueTask<(IReadOnlyList<IReadOnlyList<TextToken>>? Tokens, VectorError? Error)> TokenizeAsync(
        IReadOnlyList<string> texts, bool special, CancellationToken cancellation) => new((null, new(VectorErrorKind.WrongKind, "not asked")));
}
