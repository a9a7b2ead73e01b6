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

/// <summary>The listings: every model of every host that the caller's key may use, in the dialect of the path.</summary>
internal sealed class ModelEndpoints(ModelCatalog catalog, ClientDialect openAi, ClientDialect ollama, ClientDialect anthropic, ExchangeParts parts, string version)
{
    /// <summary>Anthropic's clients ask at the same path as OpenAI's, and say which version of their API they mean.</summary>
    public static bool IsAnthropics(HttpRequest request) => request.Headers.ContainsKey("anthropic-version");

    public Task ListAsync(HttpContext context) => IsAnthropics(context.Request)
        ? ListAsync(context, anthropic, static (models, body) => AnthropicModelList.Write(models, body))
        : WriteAsync(context, openAi, (models, told) =>
        {
            var body = new PooledBody();
            OpenAiModelList.Write(models, body, told is null ? null : (json, index) => WriteTold(json, told[index]));
            return (body, null);
        });

    public Task ListOllamaAsync(HttpContext context) => ListAsync(context, ollama, static (models, body) => OllamaListing.WriteTags(models, body));

    public Task ListRunningAsync(HttpContext context) => ListAsync(context, ollama, (models, body) => OllamaListing.WriteRunning(models, parts.Time.GetUtcNow(), body));

    public Task OneAsync(HttpContext context)
    {
        var forAnthropic = IsAnthropics(context.Request);
        // A model's name may hold slashes and escapes: everything after the listing's own path is the name.
        var name = Uri.UnescapeDataString(context.Request.Path.Value!["/v1/models/".Length..]);
        return WriteAsync(context, forAnthropic ? anthropic : openAi, (models, _) =>
        {
            // With a tag or without; but the very name that is asked for first.
            if ((models.FirstOrDefault(m => m.Name == name) ?? models.FirstOrDefault(m => ModelName.Same(m.Name, name))) is not { } model) return (null, DirectRoute.UnknownModel(name));
            var body = new PooledBody();
            if (forAnthropic) AnthropicModelList.WriteOne(model with { Name = name }, body);
            else OpenAiModelList.WriteOne(model with { Name = name }, body);
            return (body, null);
        });
    }

    private Task ListAsync(HttpContext context, ClientDialect dialect, Action<IReadOnlyList<ModelListing>, PooledBody> write) => WriteAsync(context, dialect, (models, _) =>
    {
        var body = new PooledBody();
        write(models, body);
        return (body, null);
    });

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

    /// <param name="write">Writes the models of the listing; the second list is there where a proxy asks, and says of each of them what a proxy is told besides.</param>
    private async Task WriteAsync(HttpContext context, ClientDialect dialect, Func<IReadOnlyList<ModelListing>, IReadOnlyList<ProxyTold>?, (PooledBody? Body, ProxyError? Problem)> write)
    {
        context.Response.Headers[ProxyIdentity.Header] = parts.Identity.Id;
        using var scope = CallScope.Begin(context, "models", dialect, parts);
        try
        {
            var problem = scope.Admit();
            PooledBody? body = null;
            if (problem is null)
            {
                var told = Via.LastProxy(scope.Info.Via) is { } asker ? await catalog.ListForAsync(asker, scope.Caller.MayUse) : null;
                (body, problem) = write(told is null ? await catalog.ListAsync(scope.Caller.MayUse) : [.. told.Select(static one => one.Listing)], told);
            }

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
