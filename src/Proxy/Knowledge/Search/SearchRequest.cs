using Proxy.Chat;
using Proxy.Knowledge.Filters;

namespace Proxy.Knowledge.Search;

/// <summary>What to look for in one or more workspaces. Their chunks are ranked as one collection.</summary>
/// <param name="Queries">One or more questions or lists of words. With several, a chunk gets the best of its ranks.</param>
internal sealed record SearchRequest(IReadOnlyList<string> Queries)
{
    /// <summary>The span of the search. Its stages are below it.</summary>
    public CallSpan Span { get; init; } = CallSpan.None;

    /// <summary>The most hits to return.</summary>
    public int Most { get; init; } = 10;

    /// <summary>Only chunks of files whose attributes match; null: all.</summary>
    public AttributeFilter? Filter { get; init; }

    /// <summary>
    /// The least score of a hit: the reranker's where one ranked, else the cosine. Null: no limit. Ignored where words alone are ranked, because
    /// they have no such score.
    /// </summary>
    public double? Threshold { get; init; }

    /// <summary>Whether a reranker ranks last. Null: if one is configured.</summary>
    public bool? Rerank { get; init; }

    /// <summary>The shares of words and of vectors in the fused score.</summary>
    public double LexicalWeight { get; init; } = 0.4;
    public double DenseWeight { get; init; } = 0.6;

    /// <summary>Whether hits that follow each other in a file are returned as one, and passages that say the same only once.</summary>
    public bool Join { get; init; }

    /// <summary>Whether the outcome has a trace.</summary>
    public bool Trace { get; init; }
}

/// <summary>A passage that was found.</summary>
/// <param name="Workspace">Where.</param>
/// <param name="File">The file that it is a part of.</param>
/// <param name="Chunks">Its chunks, in the order of the file; one, unless neighbours were joined.</param>
/// <param name="Text">Its text. Where chunks overlap, the overlap stands once.</param>
/// <param name="Score">
/// The reranker's score where one ranked, else the cosine, cut to 0 – 1; where words alone were ranked, the share of the best hit's score. The order of hits is
/// that of the last stage, so without a reranker scores need not fall.
/// </param>
internal sealed record SearchHit(Workspace Workspace, WorkspaceFile File, IReadOnlyList<StoredChunk> Chunks, string Text, double Score);

/// <summary>The hits, best first, and what led to them.</summary>
/// <param name="Hits">May be empty.</param>
/// <param name="Trace">Null unless it was asked for.</param>
internal sealed record SearchOutcome(IReadOnlyList<SearchHit> Hits, SearchTrace? Trace)
{
    /// <summary>Why no vector was used although the workspaces have some; null: they were used, or there are none.</summary>
    public string? LexicalOnly { get; init; }
}

/// <summary>Every stage of a search.</summary>
/// <param name="Stages">The names of the stages in their order, with their times in milliseconds.</param>
/// <param name="Candidates">The chunks that took part in the last stage, best first.</param>
internal sealed record SearchTrace(IReadOnlyList<StageTime> Stages, IReadOnlyList<TracedCandidate> Candidates)
{
    /// <summary>What the search did differently from the usual, in words; empty: nothing.</summary>
    public IReadOnlyList<string> Notes { get; init; } = [];
}

internal readonly record struct StageTime(string Stage, double Milliseconds);

/// <summary>A candidate's ranks (from 1) and scores in each stage; null where the stage did not have it.</summary>
internal sealed record TracedCandidate(string FileId, string FileName, int Chunk)
{
    public int? LexicalRank { get; init; }
    public double? Lexical { get; init; }
    public int? DenseRank { get; init; }
    public double? Cosine { get; init; }
    public int? FirstPassRank { get; init; }
    public double? FirstPass { get; init; }
    public int? FusedRank { get; init; }
    public double? Fused { get; init; }
    public int? RerankRank { get; init; }
    public double? Rerank { get; init; }
}
