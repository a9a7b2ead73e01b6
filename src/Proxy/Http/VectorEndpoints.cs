using Proxy.Dialects.Embeddings;

namespace Proxy.Http;

/// <summary>Every URL that is answered with vectors or scores.</summary>
internal sealed class VectorEndpoints(VectorParts parts)
{
    private readonly Answer openAi = new EmbeddingExchange("/v1/embeddings", new OpenAiEmbeddingsClientDialect(), parts).HandleAsync;
    private readonly Answer ollama = new EmbeddingExchange("/api/embed", new OllamaEmbedClientDialect(older: false), parts).HandleAsync;
    private readonly Answer ollamaOlder = new EmbeddingExchange("/api/embeddings", new OllamaEmbedClientDialect(older: true), parts).HandleAsync;
    private readonly Answer tei = new EmbeddingExchange("/embed", new TeiEmbedClientDialect(tokenByToken: false), parts).HandleAsync;
    private readonly Answer teiTokens = new EmbeddingExchange("/embed_all", new TeiEmbedClientDialect(tokenByToken: true), parts).HandleAsync;

    /// <summary>What answers a POST to the path; null when it is none of these.</summary>
    public Answer? Find(string path) => path switch
    {
        "/v1/embeddings" => openAi,
        "/api/embed" => ollama,
        "/api/embeddings" => ollamaOlder,
        "/embed" => tei,
        "/embed_all" => teiTokens,
        _ => null,
    };
}
