using Proxy.Chat;
using Proxy.Knowledge.Index;
using Proxy.Knowledge.Ranking;
using Proxy.Vectors;

namespace Proxy.Knowledge.Search;

/// <summary>The vectors of each query; none where words alone are ranked, and then why.</summary>
internal sealed record EmbeddedQueries(IReadOnlyList<IReadOnlyList<QueryVector>> Vectors, IReadOnlyList<string?> LexicalOnly)
{
    public ProxyError? Error { get; init; }
}

/// <summary>Embeds the queries of a search: one call a model, however many workspaces have its vectors.</summary>
/// <param name="models">The models.</param>
/// <param name="search">The span of the search.</param>
internal sealed class QueryEmbedder(KnowledgeModels models, CallSpan search)
{
    /// <summary>With a larger share of unknown tokens, a query's vector says little.</summary>
    private const double MostUnknown = 0.3;

    public async Task<EmbeddedQueries> EmbedAsync(IReadOnlyList<IWorkspaceIndex> indexes, IReadOnlyList<string> queries, CancellationToken cancellation)
    {
        var sets = indexes.SelectMany(static index => index.Workspace.Vectors).DistinctBy(static set => set.Model).ToList();
        var vectors = queries.Select(static _ => new List<QueryVector>()).ToArray();
        var reasons = new string?[queries.Count];
        Answer[] answers = [.. await Task.WhenAll(sets.Select(set => AskAsync(set, queries, cancellation))).ConfigureAwait(false)];
        foreach (var (set, answer) in sets.Zip(answers))
        {
            if (answer.Error is not null) return new(vectors, reasons) { Error = answer.Error };
            for (var i = 0; i < queries.Count; i++)
            {
                if (answer.Vectors is { } batch && !answer.Unknown[i]) vectors[i].Add(new(set.Model, batch[i].ToArray()));
                else reasons[i] ??= answer.Away ?? $"the embedding model '{set.Model}' does not know most words of the query";
            }
        }

        for (var i = 0; i < queries.Count; i++)
        {
            if (sets.Count > 0) reasons[i] = Lacking(indexes, vectors[i], reasons[i]);
            if (reasons[i] is not null) vectors[i].Clear();
        }

        return new(vectors, reasons);
    }

    /// <summary>Why a workspace cannot be ranked by any of the vectors; null if each can.</summary>
    private static string? Lacking(IReadOnlyList<IWorkspaceIndex> indexes, List<QueryVector> vectors, string? reason)
    {
        foreach (var workspace in indexes.Select(static index => index.Workspace))
        {
            if (workspace.Vectors.Count == 0) return $"the workspace '{ModelName.Shown(workspace.Name)}' has no vectors";
            if (!workspace.Vectors.Any(set => vectors.Exists(vector => vector.Model == set.Model && vector.Values.Length == set.Dimensions)))
                return reason ?? $"the embedding model of the workspace '{ModelName.Shown(workspace.Name)}' now gives other vectors; embed it anew";
        }

        return null;
    }

    private async Task<Answer> AskAsync(VectorSet set, IReadOnlyList<string> queries, CancellationToken cancellation)
    {
        if (models.Embedder(set.Model) is not { } embedder) return new($"nothing serves the embedding model '{set.Model}' now");
        using var span = search.Begin("embed", SpanKind.Client);
        span.Set("gen_ai.operation.name", "embeddings");
        span.Set("gen_ai.request.model", set.Model);
        var request = new EmbedRequest([.. queries.Select(static query => new EmbedInput(query))])
        {
            Truncate = true, Prompt = PromptKind.Query, Normalize = true, TraceParent = span.TraceParent,
        };
        var (batch, error) = await embedder.EmbedAsync(request, cancellation).ConfigureAwait(false);
        if (batch is null)
        {
            span.Fail(error!.Kind.ToString());
            return Refused(set.Model, error);
        }

        if (batch.Count != queries.Count || batch.Dimensions != set.Dimensions)
            return new($"the embedding model '{set.Model}' gives {batch.Dimensions} numbers, and the workspace has {set.Dimensions}; embed it anew");

        // Only a model of this process tells its tokens.
        var (tokens, _) = await embedder.TokenizeAsync(queries, special: false, cancellation).ConfigureAwait(false);
        return new(null) { Vectors = batch.Normalized(), Unknown = [.. queries.Select((_, i) => tokens is not null && IsForeign(tokens[i]))] };
    }

    private static bool IsForeign(IReadOnlyList<TextToken> tokens) =>
        tokens.Count > 0 && tokens.Count(static token => token.IsUnknown) > MostUnknown * tokens.Count;

    private static Answer Refused(string model, VectorError error) => error.Kind switch
    {
        VectorErrorKind.Overloaded => new(null) { Error = new(ProxyErrorKind.QueueFull, error.Message) { RetryAfter = TimeSpan.FromSeconds(1) } },
        VectorErrorKind.TooLong or VectorErrorKind.InvalidInput => new(null)
        {
            Error = new(ProxyErrorKind.InvalidRequest, $"the embedding model '{model}' cannot read the query: {error.Message}") { Param = "query" },
        },
        _ => new($"the embedding model '{model}' failed: {error.Message}"),
    };

    /// <summary>What a model gave.</summary>
    /// <param name="Away">Why it gave no vectors, for the outcome; null: it gave some, or an error.</param>
    private sealed record Answer(string? Away)
    {
        public VectorBatch? Vectors { get; init; }
        public bool[] Unknown { get; init; } = [];
        public ProxyError? Error { get; init; }
    }
}
