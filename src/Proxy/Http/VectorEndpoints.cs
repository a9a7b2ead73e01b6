using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects.Embeddings;
using Proxy.Dialects.Rerank;
using Proxy.Routes;

namespace Proxy.Http;

/// <summary>Every URL that is answered with vectors or scores.</summary>
internal sealed class VectorEndpoints(VectorParts parts)
{
    private readonly Dictionary<string, Answer> posts = new()
    {
        ["/v1/embeddings"] = Embeds("/v1/embeddings", new OpenAiEmbeddingsClientDialect(), parts),
        ["/api/embed"] = Embeds("/api/embed", new OllamaEmbedClientDialect(older: false), parts),
        ["/api/embeddings"] = Embeds("/api/embeddings", new OllamaEmbedClientDialect(older: true), parts),
        ["/embed"] = Embeds("/embed", new TeiEmbedClientDialect(tokenByToken: false), parts),
        ["/embed_all"] = Embeds("/embed_all", new TeiEmbedClientDialect(tokenByToken: true), parts),
        ["/tokenize"] = new TeiExchange("/tokenize", parts).HandleAsync,
        ["/similarity"] = new TeiExchange("/similarity", parts).HandleAsync,
        ["/predict"] = new TeiExchange("/predict", parts).HandleAsync,
        ["/embed_sparse"] = new TeiExchange("/embed_sparse", parts).HandleAsync,
        ["/decode"] = new TeiExchange("/decode", parts).HandleAsync,
        ["/rerank"] = new RerankExchange("/rerank", new TeiRerankClientDialect(), parts, withDocuments: new JinaRerankClientDialect(RerankFlavour.Jina)).HandleAsync,
        ["/v1/rerank"] = new RerankExchange("/v1/rerank", new JinaRerankClientDialect(RerankFlavour.Both), parts).HandleAsync,
        ["/v2/rerank"] = new RerankExchange("/v2/rerank", new JinaRerankClientDialect(RerankFlavour.CohereV2), parts).HandleAsync,
        ["/score"] = new RerankExchange("/score", new ScoreClientDialect(), parts).HandleAsync,
        ["/v1/score"] = new RerankExchange("/v1/score", new ScoreClientDialect(), parts).HandleAsync,
    };

    /// <summary>What answers a POST to the path; null when it is none of these.</summary>
    public Answer? Find(string path) => posts.GetValueOrDefault(path);

    /// <summary>TEI's <c>GET /info</c>, of the model in the query or of the first there is: a TEI host's own words, or what is known of a model of this process.</summary>
    public async Task InfoAsync(HttpContext context)
    {
        using var scope = CallScope.Begin(context, "/info", TeiWords.Instance, parts.Exchange);
        try
        {
            var problem = scope.Admit();
            using var body = new PooledBody(1024);
            if (problem is null) problem = Describe(scope, context.Request.Query["model"], body);
            if (problem is not null)
            {
                await scope.RefuseAsync(problem);
                return;
            }

            context.Response.ContentType = "application/json";
            context.Response.ContentLength = body.Length;
            if (!HttpMethods.IsHead(context.Request.Method)) await context.Response.BodyWriter.WriteAsync(body.Memory);
        }
        catch (Exception problem) // whatever it is, the client gets an error in its dialect and the log gets the reason
        {
            await scope.FailAsync(problem);
        }
    }

    private static Answer Embeds(string path, EmbeddingClientDialect dialect, VectorParts parts) => new EmbeddingExchange(path, dialect, parts).HandleAsync;

    private ProxyError? Describe(CallScope scope, string? named, PooledBody body)
    {
        if (named is not null && ModelName.Refusal(named) is { } tooLong) return tooLong;
        var table = parts.Directory.Table;
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
            return new(ProxyErrorKind.UnknownModel, named is null ? "no model here answers /info; there is no TEI host and no model in this proxy" : $"'{ModelName.Shown(named)}' is no TEI host's model and none of this proxy's; its own listing describes it");
        TeiAnswers.WriteInfo(here.Info, parts.Version, body);
        return null;
    }
}
