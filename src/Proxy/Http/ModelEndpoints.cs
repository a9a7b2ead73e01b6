using System.Text.Json;
using Proxy.Backends;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects.Embeddings;
using Proxy.Routes;

namespace Proxy.Http;

/// <summary>The model listings: every model of every host that the caller's key may use, in the dialect of the request.</summary>
internal sealed class ModelEndpoints(ModelCatalog catalog, IReadOnlyList<Surface> surfaces, ExchangeParts parts, string version)
{
    public Task ListAsync(HttpContext context) => ListAsync(context, null);

    /// <param name="context">The request.</param>
    /// <param name="write">Writes the list; null: the dialect's own writer does.</param>
    public Task ListAsync(HttpContext context, WriteModels? write) => WriteAsync(context, async (scope, surface) =>
    {
        var (models, told) = await ModelsAsync(scope);
        var body = new PooledBody();
        (write ?? surface.WriteModels)(models, body, told is null ? null : (json, index) => WriteTold(json, told[index]));
        return (body, null);
    });

    /// <summary>Describes one model, by any name that a call may use: a listed name, or one that an alias, a prefix or the default backend serves.</summary>
    public Task OneAsync(HttpContext context)
    {
        // A model's name may contain slashes and escapes: everything after the path of the listing (with or without /v1) is the name.
        var path = context.Request.Path.Value!;
        var name = Uri.UnescapeDataString(path[(path.IndexOf("/models/", StringComparison.Ordinal) + "/models/".Length)..]);
        return WriteAsync(context, async (scope, surface) =>
        {
            if (ModelName.Refusal(name) is { } tooLong) return (null, tooLong);
            var (models, _) = await ModelsAsync(scope);
            // The exact name first, then the name with or without the tag.
            var model = models.FirstOrDefault(m => m.Name == name) ?? models.FirstOrDefault(m => ModelName.Same(m.Name, name))
                ?? (scope.Caller.MayUse(name) ? await catalog.FindAsync(name) : null);
            if (model is null) return (null, DirectRoute.UnknownModel(name));
            var body = new PooledBody();
            surface.WriteModel(model with { Name = name }, body);
            return (body, null);
        });
    }

    /// <summary>
    /// The models to list. A client gets all models that its key may use. Another proxy gets those that it has not listed to us itself, and for each of them
    /// the facts that only proxies are told.
    /// </summary>
    private async ValueTask<(IReadOnlyList<ModelListing> Models, IReadOnlyList<ProxyTold>? Told)> ModelsAsync(CallScope scope)
    {
        if (Via.LastProxy(scope.Info.Via) is not { } asker)
            return (await catalog.ListAsync(scope.Caller.MayUse, await catalog.PairsOf(scope.Info.Owner)), null);
        var told = await catalog.ListForAsync(asker, scope.Caller.MayUse);
        return ([.. told.Select(static one => one.Listing)], told);
    }

    private void WriteTold(Utf8JsonWriter json, ProxyTold told)
    {
        if (told.Here is { } here)
        {
            using var info = new PooledBody();
            TeiAnswers.WriteInfo(here, version, info);
            told = told with { Info = JsonElement.Parse(info.Span) };
        }

        ProxyListing.Write(json, told);
    }

    private Task WriteAsync(HttpContext context, Func<CallScope, Surface, ValueTask<(PooledBody? Body, ProxyError? Problem)>> answer)
    {
        var surface = surfaces.First(surface => surface.Has(context.Request));
        context.Response.Headers[ProxyIdentity.Header] = parts.Identity.Id;
        return new HandlerExchange("models", surface.Dialect, parts, async (scope, _) =>
        {
            var (body, problem) = await answer(scope, surface);
            using var held = body;
            if (body is not null) await Exchange.WriteAsync(scope, surface.Dialect.WholeContentType, body);
            return problem;
        }) { ReadsBody = false }.HandleAsync(context);
    }
}
