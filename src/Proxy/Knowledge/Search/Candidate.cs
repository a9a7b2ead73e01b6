using Proxy.Knowledge.Ranking;

namespace Proxy.Knowledge.Search;

/// <summary>A chunk that may become a hit.</summary>
/// <param name="Number">Its number in the searched collection.</param>
/// <param name="Chunk">What it says.</param>
/// <param name="Fused">Its score after the last fusion.</param>
/// <param name="FusedRank">From 1.</param>
internal sealed record Candidate(int Number, LoadedChunk Chunk, double Fused, int FusedRank)
{
    /// <summary>The query that ranked it best.</summary>
    public int Query { get; init; }

    /// <summary>Null where words alone were ranked.</summary>
    public double? Cosine { get; init; }

    /// <summary>Null where no reranker ranked.</summary>
    public double? Rerank { get; init; }

    /// <summary>The score of its hit.</summary>
    public double Score { get; init; }
}
