using System.Text.Json;
using Proxy.Backends;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects.Anthropic;
using Proxy.Dialects.Embeddings;
using Proxy.Dialects.OllamaChat;
using Proxy.Dialects.OpenAiChat;
using Proxy.Routes;

namespace Proxy.Http;

/// <summary>The model listings: every model of every host that the caller's key may use, in the dialect of the path.</summary>
internal sealed class ModelEndpoints(ModelCatalog catalog, ClientDialect openAi, ClientDialect ollama, ClientDialect anthropic, ExchangeParts parts,
    string version)
{
    /// <summary>Whether an Anthropic client asks. Anthropic's clients use the same path as OpenAI's, but send their API's version.</summary>
    public static bool IsAnthropics(HttpRequest request) => request.Headers.ContainsKey("anthropic-version");

    public Task ListAsync(HttpContext context) => IsAnthropics(context.Request)
        ? ListAsync(context, anthropic, static (models, body) => AnthropicModelList.Write(models, body))
        : WriteAsync(context, openAi, async scope =>
        {
            var (models, told) = await ModelsAsync(scope);
            var body = new PooledBody();
            OpenAiModelList.Write(models, body, told is null ? null : (json, index) => WriteTold(json, told[index]));
            return (body, null);
        });

    public Task ListOllamaAsync(HttpContext context) => ListAsync(context, ollama, static (models, body) => OllamaListing.WriteTags(models, body));

    public Task ListRunningAsync(HttpContext context) =>
        ListAsync(context, ollama, (models, body) => OllamaListing.WriteRunning(models, parts.Time.GetUtcNow(), body));

    /// <summary>Describes one model, by any name that a call may use: a listed name, or one that an alias, a prefix or the default backend serves.</summary>
    public Task OneAsync(HttpContext context)
    {
        var forAnthropic = IsAnthropics(context.Request);
        // A model's name may contain slashes and escapes: everything after the path of the listing (with or without /v1) is the name.
        var path = context.Request.Path.Value!;
        var name = Uri.UnescapeDataString(path[(path.IndexOf("/models/", StringComparison.Ordinal) + "/models/".Length)..]);
        return WriteAsync(context, forAnthropic ? anthropic : openAi, async scope =>
        {
            if (ModelName.Refusal(name) is { } tooLong) return (null, tooLong);
            var (models, _) = await ModelsAsync(scope);
            // The exact name first, then the name with or without the tag.
            var model = models.FirstOrDefault(m => m.Name == name) ?? models.FirstOrDefault(m => ModelName.Same(m.Name, name))
                ?? (scope.Caller.MayUse(name) ? await catalog.FindAsync(name) : null);
            if (model is null) return (null, DirectRoute.UnknownModel(name));
            var body = new PooledBody();
            if (forAnthropic) AnthropicModelList.WriteOne(model with { Name = name }, body);
            else OpenAiModelList.WriteOne(model with { Name = name }, body);
            return (body, null);
        });
    }

    private Task ListAsync(HttpContext context, ClientDialect dialect, Action<IReadOnlyList<ModelListing>, PooledBody> write) =>
        WriteAsync(context, dialect, async scope =>
        {
            var (models, _) = await ModelsAsync(scope);
            var body = new PooledBody();
            write(models, body);
            return (body, null);
        });

    /// <summary>
    /// The models to list. A client gets all models that its key may use. Another proxy gets those that it has not listed to us itself, and for each of them
    /// the facts that only proxies are told.
    /// </summary>
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

    private Task WriteAsync(HttpContext context, ClientDialect dialect, Func<CallScope, ValueTask<(PooledBody? Body, ProxyError? Problem)>> answer)
    {
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
