using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects.Embeddings;
using Proxy.Dialects.Rerank;
using Proxy.Routes;
using Proxy.VectorRoutes;

namespace Proxy.Http;

/// <summary>Every URL that is answered with vectors or scores.</summary>
internal sealed class VectorEndpoints(VectorParts parts)
{
    private readonly Dictionary<string, VectorExchange> posts = new VectorExchange[]
    {
        new("/v1/embeddings", new EmbeddingRoute(new OpenAiEmbeddingsClientDialect(), parts.Hosts), parts),
        new("/api/embed", new EmbeddingRoute(new OllamaEmbedClientDialect(older: false), parts.Hosts), parts),
        new("/api/embeddings", new EmbeddingRoute(new OllamaEmbedClientDialect(older: true), parts.Hosts), parts),
        new("/embed", new EmbeddingRoute(new TeiEmbedClientDialect(tokenByToken: false), parts.Hosts), parts),
        new("/embed_all", new EmbeddingRoute(new TeiEmbedClientDialect(tokenByToken: true), parts.Hosts), parts),
        new("/tokenize", new TeiRoute("/tokenize", parts.Hosts), parts),
        new("/similarity", new TeiRoute("/similarity", parts.Hosts), parts),
        new("/predict", new TeiRoute("/predict", parts.Hosts), parts),
        new("/embed_sparse", new TeiRoute("/embed_sparse", parts.Hosts), parts),
        new("/decode", new TeiRoute("/decode", parts.Hosts), parts),
        new("/rerank", new RerankRoute(new TeiRerankClientDialect(), parts.Hosts), parts,
            withDocuments: new RerankRoute(new JinaRerankClientDialect(RerankFlavour.Jina), parts.Hosts)),
        new("/v1/rerank", new RerankRoute(new JinaRerankClientDialect(RerankFlavour.Both), parts.Hosts), parts),
        new("/v2/rerank", new RerankRoute(new JinaRerankClientDialect(RerankFlavour.CohereV2), parts.Hosts), parts),
        new("/score", new RerankRoute(new ScoreClientDialect(), parts.Hosts), parts),
        new("/v1/score", new RerankRoute(new ScoreClientDialect(), parts.Hosts), parts),
    }.ToDictionary(static exchange => exchange.Surface);

    /// <summary>The handler of a POST to the path; null if the path is none of these.</summary>
    public Answer? Find(string path) => posts.TryGetValue(path, out var exchange) ? exchange.HandleAsync : null;

    /// <summary>
    /// TEI's <c>GET /info</c>, for the model in the query or for the first model there is. The answer is a TEI host's own, or describes a model of this
    /// process.
    /// </summary>
    public Task InfoAsync(HttpContext context) => new HandlerExchange("/info", TeiWords.Instance, parts.Exchange, async (scope, _) =>
    {
        using var body = new PooledBody(1024);
        if (Describe(scope, context.Request.Query["model"], body) is { } problem) return problem;
        await Exchange.WriteAsync(scope, "application/json", body);
        return null;
    }).HandleAsync(context);

    private ProxyError? Describe(CallScope scope, string? named, PooledBody body)
    {
        if (named is not null && ModelName.Refusal(named) is { } tooLong) return tooLong;
        var table = parts.Hosts.Table;
        if (named is not null && (!scope.Caller.MayUse(named) || table.Resolve(named) is null)) return DirectRoute.UnknownModel(named);
        var resolution = named is null ? null : table.Resolve(named);
        foreach (var backend in resolution?.Candidates ?? table.All)
        {
            foreach (var model in backend.State.Report?.Models ?? [])
            {
                if (model.TeiInfo is not { } info) continue;
                if (resolution is null ? !scope.Caller.MayUse(model.Name) : model.Name != resolution.Served) continue;
                body.Write(System.Text.Encoding.UTF8.GetBytes(info.GetRawText()));
                return null;
            }
        }

        if ((named is null ? table.Embedders.Models.FirstOrDefault(model => scope.Caller.MayUse(model.Info.Name)) : resolution?.InProcess) is not { } here)
        {
            return new(ProxyErrorKind.UnknownModel, named is null
                ? "no model here answers /info; there is no TEI host and no model in this proxy"
                : $"'{ModelName.Shown(named)}' is neither a model of a TEI host nor of this proxy, so /info does not describe it");
        }

        TeiAnswers.WriteInfo(here.Info, parts.Version, body);
        return null;
    }
}
