using System.Text.Json;
using Proxy.Backends;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects.Embeddings;
using Proxy.Routes;

namespace Proxy.Http;

/// <summary>The listings: every model of every host that the caller's key may use, in the dialect of the path.</summary>
internal sealed class ModelEndpoints(ModelCatalog catalog, IReadOnlyList<Surface> surfaces, ExchangeParts parts, string version)
{
    public Task ListAsync(HttpContext context) => ListAsync(context, surfaces.First(surface => surface.Has(context.Request)).WriteModels);

    public Task ListAsync(HttpContext context, WriteModels write) => WriteAsync(context, async scope =>
    {
        var (models, told) = await ModelsAsync(scope);
        var body = new PooledBody();
        write(models, body, told is null ? null : (json, index) => WriteTold(json, told[index]));
        return (body, null);
    });

    /// <summary>One model, by every name that a call may ask for: listed, or served by an alias, a prefix or the default backend.</summary>
    public Task OneAsync(HttpContext context)
    {
        // A model's name may hold slashes and escapes: everything after the listing's own path, with /v1 or without, is the name.
        var path = context.Request.Path.Value!;
        var name = Uri.UnescapeDataString(path[(path.IndexOf("/models/", StringComparison.Ordinal) + "/models/".Length)..]);
        return WriteAsync(context, async scope =>
        {
            if (ModelName.Refusal(name) is { } tooLong) return (null, tooLong);
            var (models, _) = await ModelsAsync(scope);
            // With a tag or without; but the very name that is asked for first.
            var model = models.FirstOrDefault(m => m.Name == name) ?? models.FirstOrDefault(m => ModelName.Same(m.Name, name)) ?? (scope.Caller.MayUse(name) ? await catalog.FindAsync(name) : null);
            if (model is null) return (null, DirectRoute.UnknownModel(name));
            var body = new PooledBody();
            surfaces.First(surface => surface.Has(context.Request)).WriteModel(model with { Name = name }, body);
            return (body, null);
        });
    }

    /// <summary>What the caller is told of: a client of all that its key may use; a proxy that asks of what it has not told us itself, and of each model what a proxy is told besides.</summary>
    private async ValueTask<(IReadOnlyList<ModelListing> Models, IReadOnlyList<ProxyTold>? Told)> ModelsAsync(CallScope scope)
    {
        if (Via.LastProxy(scope.Info.Via) is not { } asker) return (await catalog.ListAsync(scope.Caller.MayUse), null);
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

    private Task WriteAsync(HttpContext context, Func<CallScope, ValueTask<(PooledBody? Body, ProxyError? Problem)>> answer)
    {
        var dialect = surfaces.First(surface => surface.Has(context.Request)).Dialect;
        context.Response.Headers[ProxyIdentity.Header] = parts.Identity.Id;
        return new HandlerExchange("models", dialect, parts, async (scope, _) =>
        {
            var (body, problem) = await answer(scope);
            using var held = body;
            if (body is not null) await Exchange.WriteAsync(scope, dialect.WholeContentType, body);
            return problem;
        }).HandleAsync(context);
    }
}
