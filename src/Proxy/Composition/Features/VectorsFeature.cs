using Proxy.Dialects.OpenAiChat;
using Proxy.Http;
using Proxy.VectorRoutes;

namespace Proxy.Composition.Features;

/// <summary>Embeddings, reranking, and what else Text Embeddings Inference serves.</summary>
internal static class VectorsFeature
{
    public static void Add(PartsBuilder parts)
    {
        var hosts = new VectorHosts(parts.Directory, parts.Dispatcher, new OpenAiChatBackendDialect(), parts.Exchange.Log);
        parts.Endpoints.AddRange(new VectorEndpoints(new VectorParts(hosts, parts.Exchange, ProxyHost.Version)).Rows);
    }
}
