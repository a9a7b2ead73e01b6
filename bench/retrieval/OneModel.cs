using Proxy.Knowledge;
using Proxy.Vectors;

namespace Proxy.Bench;

/// <summary>The one model that serves.</summary>
internal sealed class OneModel(IEmbedder embedder) : IVectorModels
{
    public IEmbedder? Embedder(string model) => model == embedder.Info.Name ? embedder : null;

    public IReranker? Reranker(string model) => null;
}
