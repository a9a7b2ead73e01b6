namespace Proxy.Documents;

/// <summary>A part of a document that is embedded and found as one.</summary>
/// <param name="Text">The text.</param>
/// <param name="Tokens">Its length in tokens of the embedding model, without special tokens.</param>
internal sealed record Chunk(string Text, int Tokens)
{
    /// <summary>The headings above its first block, outermost first, joined by " › "; empty outside of any heading.</summary>
    public string Heading { get; init; } = "";

    /// <summary>The page of its first block, from 1; null if the format has none.</summary>
    public int? Page { get; init; }

    /// <summary>
    /// Where it begins and ends in the document's text, which is its blocks joined by an empty line; in UTF-16 units. <paramref name="End"/> is exclusive.
    /// </summary>
    public int Start { get; init; }
    public int End { get; init; }
}

/// <summary>How long chunks may be, and how much of a chunk's end the next one repeats, both in tokens of the embedding model.</summary>
internal readonly record struct ChunkLimits(int MaxTokens, int OverlapTokens);
