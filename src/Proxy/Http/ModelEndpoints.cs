using Proxy.Backends;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects.Anthropic;
using Proxy.Dialects.OllamaChat;
using Proxy.Dialects.OpenAiChat;
using Proxy.Routes;

namespace Proxy.Http;

/// <summary>The listings: every model of every host that the caller's key may use, in the dialect of the path.</summary>
internal sealed class ModelEndpoints(ModelCatalog catalog, ClientDialect openAi, ClientDialect ollama, ClientDialect anthropic, ExchangeParts parts)
{
    /// <summary>Anthropic's clients ask at the same path as OpenAI's, and say which version of their API they mean.</summary>
    public static bool IsAnthropics(HttpRequest request) => request.Headers.ContainsKey("anthropic-version");

    public Task ListAsync(HttpContext context) => IsAnthropics(context.Request)
        ? ListAsync(context, anthropic, static (models, body) => AnthropicModelList.Write(models, body))
        : ListAsync(context, openAi, static (models, body) => OpenAiModelList.Write(models, body));

    public Task ListOllamaAsync(HttpContext context) => ListAsync(context, ollama, static (models, body) => OllamaListing.WriteTags(models, body));

    public Task ListRunningAsync(HttpContext context) => ListAsync(context, ollama, (models, body) => OllamaListing.WriteRunning(models, parts.Time.GetUtcNow(), body));

    /// <summary>One model, by every name that a call may ask for: listed, or served by an alias, a prefix or the default backend.</summary>
    public Task OneAsync(HttpContext context)
    {
        var forAnthropic = IsAnthropics(context.Request);
        // A model's name may hold slashes and escapes: everything after the listing's own path, with /v1 or without, is the name.
        var path = context.Request.Path.Value!;
        var name = Uri.UnescapeDataString(path[(path.IndexOf("/models/", StringComparison.Ordinal) + "/models/".Length)..]);
        return WriteAsync(context, forAnthropic ? anthropic : openAi, async mayUse =>
        {
            if (ModelName.Refusal(name) is { } tooLong) return (null, tooLong);
            var models = await catalog.ListAsync(mayUse);
            // With a tag or without; but the very name that is asked for first.
            var model = models.FirstOrDefault(m => m.Name == name) ?? models.FirstOrDefault(m => ModelName.Same(m.Name, name)) ?? (mayUse(name) ? await catalog.FindAsync(name) : null);
            if (model is null) return (null, DirectRoute.UnknownModel(name));
            var body = new PooledBody();
            if (forAnthropic) AnthropicModelList.WriteOne(model with { Name = name }, body);
            else OpenAiModelList.WriteOne(model with { Name = name }, body);
            return (body, null);
        });
    }

    private Task ListAsync(HttpContext context, ClientDialect dialect, Action<IReadOnlyList<ModelListing>, PooledBody> write) => WriteAsync(context, dialect, async mayUse =>
    {
        var models = await catalog.ListAsync(mayUse);
        var body = new PooledBody();
        write(models, body);
        return (body, null);
    });

    private async Task WriteAsync(HttpContext context, ClientDialect dialect, Func<Func<string, bool>, ValueTask<(PooledBody? Body, ProxyError? Problem)>> answer)
    {
        using var scope = CallScope.Begin(context, "models", dialect, parts);
        try
        {
            var problem = scope.Admit();
            PooledBody? body = null;
            if (problem is null) (body, problem) = await answer(scope.Caller.MayUse);
            using var held = body;
            if (problem is not null)
            {
                await scope.RefuseAsync(problem);
                return;
            }

            context.Response.ContentType = dialect.WholeContentType;
            context.Response.ContentLength = body!.Length;
            if (!HttpMethods.IsHead(context.Request.Method)) await context.Response.BodyWriter.WriteAsync(body.Memory);
        }
        catch (Exception problem) // whatever it is, the client gets an error in its dialect and the log gets the reason
        {
            await scope.FailAsync(problem);
        }
    }
}
