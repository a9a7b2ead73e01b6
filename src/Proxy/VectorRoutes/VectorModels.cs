using Proxy.Chat;
using Proxy.Vectors;

namespace Proxy.VectorRoutes;

/// <summary>The models that one call may use by name, in this process or at hosts. Requests to hosts carry the ids of that call.</summary>
internal sealed class VectorModels(VectorHosts hosts, CallInfo info) : IVectorModels
{
    public IEmbedder? Embedder(string model) => hosts.Table.Resolve(model) switch
    {
        null => null,
        { InProcess: { } here } => here as IEmbedder,
        var resolution => new HostEmbedder(hosts, new(info, resolution) { Model = model, Path = "/v1/embeddings" }),
    };

    public IReranker? Reranker(string model) => hosts.Table.Resolve(model) switch
    {
        null => null,
        { InProcess: { } here } => Reranker(here, allowsCosine: true),
        var resolution => new HostReranker(hosts, new(info, resolution) { Model = model, Path = "/v1/rerank" }),
    };

    /// <summary>
    /// The reranker of a model of this process: the model itself if it was made for reranking, otherwise the cosine similarity of its vectors.
    /// </summary>
    public static IReranker? Reranker(IVectorModel model, bool allowsCosine) =>
        Reranks(model) ? (IReranker)model : model is IEmbedder embedder && allowsCosine ? new CosineReranker(embedder) : null;

    public static bool Reranks(IVectorModel model) => model is IReranker && model.Info.Kind is not VectorModelKind.Embed;
}
