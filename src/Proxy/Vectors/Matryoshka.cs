namespace Proxy.Vectors;

/// <summary>
/// Which models were trained so that the first numbers of a vector are a usable vector by themselves (Matryoshka), according to their makers. Hosts do not
/// report it.
/// </summary>
internal static class Matryoshka
{
    private static readonly string[] Families =
    [
        "text-embedding-3", "nomic-embed-text", "mxbai-embed-large", "mxbai-embed-xsmall", "embeddinggemma", "qwen3-embedding", "jina-embeddings-v3",
        "jina-embeddings-v4", "arctic-embed2", "arctic-embed-m-v1.5", "arctic-embed-m-v2", "arctic-embed-l-v2", "modernbert-embed", "gte-multilingual",
    ];

    /// <summary>Whether the name is that of such a model, in any packaging: <c>Qwen/Qwen3-Embedding-0.6B</c>, <c>nomic-embed-text:v1.5</c>.</summary>
    public static bool Knows(string model)
    {
        // The first version of nomic-embed-text was not trained that way; every later one was.
        if (model.Contains("nomic-embed-text-v1", StringComparison.OrdinalIgnoreCase) && !model.Contains("v1.5", StringComparison.OrdinalIgnoreCase))
            return false;
        foreach (var family in Families)
        {
            if (model.Contains(family, StringComparison.OrdinalIgnoreCase)) return true;
        }

        return false;
    }
}
