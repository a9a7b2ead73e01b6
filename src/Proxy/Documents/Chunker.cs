namespace Proxy.Documents;

/// <summary>Counts the tokens of texts, in their order.</summary>
internal delegate ValueTask<IReadOnlyList<int>> TokenCounter(IReadOnlyList<string> texts, CancellationToken cancellation);

/// <summary>Cuts documents into chunks that follow headings, blocks and sentences.</summary>
internal static class Chunker
{
    /// <summary>
    /// The chunks of a document, in its order. The same document with the same limits and counter gives the same chunks. No chunk has more than
    /// <see cref="ChunkLimits.MaxTokens"/>.
    /// </summary>
    public static IAsyncEnumerable<Chunk> CutAsync(DocumentText document, ChunkLimits limits, TokenCounter count, CancellationToken cancellation)
    {
        _ = (document, limits, count, cancellation);
        throw new NotImplementedException();
    }
}
