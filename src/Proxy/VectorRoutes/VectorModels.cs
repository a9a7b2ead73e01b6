using Proxy.Chat;
using Proxy.Vectors;

namespace Proxy.VectorRoutes;

/// <summary>The models that one call may use by their names, whoever serves them. A host is told whose call it is.</summary>
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

    /// <summary>What reranks of a model of this process: itself, if it was made for it, or the cosine of its vectors.</summary>
    public static IReranker? Reranker(IVectorModel model, bool allowsCosine) => Reranks(model) ? (IReranker)model : model is IEmbedder embedder && allowsCosine ? new CosineReranker(embedder) : null;

    public static bool Reranks(IVectorModel model) => model is IReranker && model.Info.Kind is not VectorModelKind.Embed;
}
