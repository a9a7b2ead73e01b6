using Proxy.Documents;

namespace Proxy.Knowledge.Ingest;

/// <summary>How long chunks are.</summary>
internal static class ChunkRules
{
    /// <summary>The window that is assumed where no model embeds.</summary>
    private const int WindowWithoutModel = 256;

    /// <summary>The special tokens that a model adds to a text: one before, one after.</summary>
    private const int SpecialTokens = 2;

    private const double ShareOfWindow = 0.85;
    private const double ShareOfOverlap = 0.15;

    /// <summary>The limits of a file's chunks, cut to what the model reads.</summary>
    /// <param name="file">May ask for limits of its own.</param>
    /// <param name="window">The longest input of the embedding models in tokens; null: none embeds.</param>
    public static ChunkLimits LimitsOf(WorkspaceFile file, int? window)
    {
        var most = (window ?? WindowWithoutModel) - SpecialTokens;
        var auto = Math.Max(1, (int)(ShareOfWindow * most));
        if (file.ChunkTokens is not { } asked) return new(auto, (int)(ShareOfOverlap * auto));
        var tokens = Math.Clamp(asked, 1, most);
        return new(tokens, Math.Clamp(file.OverlapTokens ?? (int)(ShareOfOverlap * tokens), 0, tokens / 2));
    }
}
