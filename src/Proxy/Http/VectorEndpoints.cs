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
    public IEnumerable<EndpointRow> Rows =>
    [
        Post(new EmbeddingRoute(new OpenAiEmbeddingsClientDialect(), parts.Hosts), "/v1/embeddings", "/embeddings"),
        Post(new EmbeddingRoute(new OllamaEmbedClientDialect(older: false), parts.Hosts), "/api/embed"),
        Post(new EmbeddingRoute(new OllamaEmbedClientDialect(older: true), parts.Hosts), "/api/embeddings"),
        Post(new EmbeddingRoute(new TeiEmbedClientDialect(tokenByToken: false), parts.Hosts), "/embed"),
        Post(new EmbeddingRoute(new TeiEmbedClientDialect(tokenByToken: true), parts.Hosts), "/embed_all"),
        .. ((string[])["/tokenize", "/similarity", "/predict", "/embed_sparse", "/decode"]).Select(path => Post(new TeiRoute(path, parts.Hosts), path)),
        new("POST", ["/rerank"], new VectorExchange("/rerank", new RerankRoute(new TeiRerankClientDialect(), parts.Hosts), parts)
        {
            WithDocuments = new RerankRoute(new JinaRerankClientDialect(RerankFlavour.Jina), parts.Hosts),
        }.HandleAsync),
        Post(new RerankRoute(new JinaRerankClientDialect(RerankFlavour.Both), parts.Hosts), "/v1/rerank"),
        Post(new RerankRoute(new JinaRerankClientDialect(RerankFlavour.CohereV2), parts.Hosts), "/v2/rerank"),
        Post(new RerankRoute(new ScoreClientDialect(), parts.Hosts), "/score"),
        Post(new RerankRoute(new ScoreClientDialect(), parts.Hosts), "/v1/score"),
        new("GET", ["/info"], InfoAsync),
    ];

    /// <summary>
    /// TEI's <c>GET /info</c>, for the model in the query or for the first model there is. The answer is a TEI host's own, or describes a model of this
    /// process.
    /// </summary>
    private Task InfoAsync(HttpContext context) => new HandlerExchange("/info", TeiWords.Instance, parts.Exchange, async (scope, _) =>
    {
        using var body = new PooledBody(1024);
        if (Describe(scope, context.Request.Query["model"], body) is { } problem) return problem;
        await Exchange.WriteAsync(scope, "application/json", body);
        return null;
    }) { ReadsBody = false }.HandleAsync(context);

    private EndpointRow Post(IVectorRoute route, params string[] paths) => new("POST", paths, new VectorExchange(paths[0], route, parts).HandleAsync);

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
