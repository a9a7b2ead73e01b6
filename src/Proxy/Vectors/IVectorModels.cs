namespace Proxy.Vectors;

/// <summary>The models that embed and rerank, by the names that calls use, wherever they run: in this process or at a host.</summary>
internal interface IVectorModels
{
    /// <summary>The model that embeds under this name; null where nothing serves the name, or what serves it only reranks.</summary>
    IEmbedder? Embedder(string model);

    /// <summary>The model that reranks under this name; one of this process that only embeds reranks by cosine. Null where nothing serves the name.</summary>
    IReranker? Reranker(string model);
}
