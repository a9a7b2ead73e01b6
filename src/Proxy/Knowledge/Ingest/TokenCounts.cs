using Proxy.Vectors;

namespace Proxy.Knowledge.Ingest;

/// <summary>The lengths of texts in tokens of an embedding model.</summary>
internal static class TokenCounts
{
    /// <summary>UTF-8 bytes per token where no tokenizer is at hand: low, so that a chunk is rather too short than too long for the model.</summary>
    private const int BytesPerToken = 3;

    /// <summary>The number of tokens of each text, without special tokens. A model at a host is not asked; its tokens are estimated.</summary>
    public static async ValueTask<IReadOnlyList<int>> OfAsync(IEmbedder? embedder, IReadOnlyList<string> texts, CancellationToken cancellation)
    {
        if (embedder is { Info.Dimensions: > 0 }) // a model of this process: a host's dimensions are not known
        {
            var (tokens, error) = await embedder.TokenizeAsync(texts, special: false, cancellation).ConfigureAwait(false);
            if (tokens is null) throw new IngestException($"the model '{embedder.Info.Name}' does not count tokens: {error!.Message}");
            return [.. tokens.Select(static list => list.Count)];
        }

        return [.. texts.Select(static text => (System.Text.Encoding.UTF8.GetByteCount(text) / BytesPerToken) + 1)];
    }
}
