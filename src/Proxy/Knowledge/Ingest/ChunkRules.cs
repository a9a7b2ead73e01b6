using Proxy.Documents;
using Proxy.Vectors;

namespace Proxy.Knowledge.Ingest;

/// <summary>How long the chunks of a file are: what the client asks for, cut to what the workspace's embedding models read.</summary>
internal static class ChunkRules
{
    /// <summary>OpenAI's range of <c>max_chunk_size_tokens</c>.</summary>
    public const int LeastStatic = 100, MostStatic = 4096;

    /// <summary>The longest chunk of <c>auto</c>, as at OpenAI: a model may read more, but a vector of a long text says little about any part of it.</summary>
    public const int MostAuto = 800;

    /// <summary>Of the model's window, for <c>auto</c>: the rest is for headings, and for the overlap to end at a sentence.</summary>
    private const double AutoShare = 0.85, OverlapShare = 0.15;

    /// <summary>The window of a model at a host that does not report one, and the window where words alone are searched.</summary>
    private const int UnknownWindow = 512, WindowWithoutModel = 256;

    /// <summary>What a model adds to a text: special tokens at both ends, and its prompt for documents.</summary>
    private const int SpecialTokens = 2, PromptTokens = 14;

    /// <summary>The limits of one file's chunks.</summary>
    /// <param name="models">Knows the windows of the workspace's models, or of those that embed new workspaces.</param>
    /// <param name="workspace">The file's workspace.</param>
    /// <param name="tokens">The wanted length; null: <c>auto</c>.</param>
    /// <param name="overlap">The wanted overlap; null: <c>auto</c>.</param>
    public static ChunkLimits Of(KnowledgeModels models, Workspace workspace, int? tokens, int? overlap)
    {
        var names = workspace.Vectors.Count > 0 ? workspace.Vectors.Select(static set => set.Model) : models.Embedders;
        return Of(Window(names.Select(name => models.Embedder(name)?.Info)), tokens, overlap);
    }

    /// <summary>The limits of chunks for a window; an overlap is at most half of its chunk.</summary>
    public static ChunkLimits Of(int window, int? tokens, int? overlap)
    {
        var most = tokens is { } asked ? Math.Min(asked, window) : Math.Min((int)(window * AutoShare), MostAuto);
        var repeated = overlap ?? (int)(most * OverlapShare);
        return new(most, Math.Clamp(repeated, 0, most / 2));
    }

    /// <summary>The tokens of a text that each of these models reads whole. Null stands for a model that nothing serves now.</summary>
    public static int Window(IEnumerable<VectorModelInfo?> models)
    {
        var least = int.MaxValue;
        foreach (var model in models)
        {
            // A host that does not report a context length has the largest number.
            var reads = model is { MaxInputLength: < int.MaxValue } ? model.MaxInputLength : UnknownWindow;
            var added = SpecialTokens + (model is { Prompts.Count: > 0 } ? PromptTokens : 0);
            least = Math.Min(least, Math.Max(1, reads - added));
        }

        return least is int.MaxValue ? WindowWithoutModel - SpecialTokens : least;
    }
}
