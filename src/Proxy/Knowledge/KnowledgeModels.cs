using Proxy.Vectors;

namespace Proxy.Knowledge;

/// <summary>The models that knowledge uses, as <c>[knowledge]</c> names them.</summary>
/// <param name="models">Finds a model by its name.</param>
/// <param name="Embedders">The names of one or two embedding models; empty: words alone are searched.</param>
/// <param name="Reranker">The name of the reranker; null: there is none.</param>
internal sealed class KnowledgeModels(IVectorModels models, IReadOnlyList<string> Embedders, string? Reranker)
{
    /// <summary>The names of the models that embed new workspaces.</summary>
    public IReadOnlyList<string> Embedders { get; } = Embedders;

    /// <summary>The model of a vector set; null if nothing serves it now.</summary>
    public IEmbedder? Embedder(string name) => models.Embedder(name);

    /// <summary>The reranker; null if there is none, or nothing serves it now.</summary>
    public IReranker? FindReranker() => Reranker is null ? null : models.Reranker(Reranker);

    public bool HasReranker => Reranker is not null;
}
