namespace Proxy.Vectors;

/// <summary>The models that embed and rerank, by the names that calls use, whether they run in this process or at a host.</summary>
internal interface IVectorModels
{
    /// <summary>The model that embeds under this name; null if nothing serves the name, or if the model only reranks.</summary>
    IEmbedder? Embedder(string model);

    /// <summary>
    /// The model that reranks under this name; an embedding model of this process reranks by cosine similarity. Null if nothing serves the name.
    /// </summary>
    IReranker? Reranker(string model);
}
