using Proxy.Chat;

namespace Proxy.Http;

/// <summary>What answers a URL.</summary>
internal delegate Task Answer(HttpContext context);

/// <summary>
/// Every URL there is, always mapped: what is not built or not configured refuses in the words of its dialect. Matched by hand, because every call passes here and the table is this small.
/// </summary>
internal sealed class Endpoints(
    Answer openAiChat, Answer openAiCompletions, Answer ollamaChat, Answer relayByModel,
    VectorEndpoints vectors, ModelEndpoints models, StatusEndpoints status, AdminEndpoints admin, ErrorEndpoints errors, ApiKeyGate gate)
{
    public Task HandleAsync(HttpContext context)
    {
        var path = context.Request.Path.Value ?? "/";
        var method = context.Request.Method;
        if (ConnectionFeature.Of(context) is { Admin: true }) return admin.HandleAsync(context, method, path);
        if (HttpMethods.IsOptions(method))
        {
            Cors.Preflight(context, gate);
            return Task.CompletedTask;
        }

        if (path.Length > 1 && path[^1] == '/') path = path.TrimEnd('/'); // some base urls end so, and clients append to them

        return path switch
        {
            "/v1/chat/completions" => Only("POST", openAiChat),
            "/v1/completions" => Only("POST", openAiCompletions),
            "/v1/models" => Only("GET", models.ListOpenAiAsync),
            "/api/chat" => Only("POST", ollamaChat),
            "/api/tags" => Only("GET", models.ListOllamaAsync),
            "/api/version" => Only("GET", StatusEndpoints.VersionAsync),
            "/" => Only("GET", StatusEndpoints.RootAsync),
            "/health" => Only("GET", StatusEndpoints.HealthAsync),
            "/ready" => Only("GET", status.ReadyAsync),
            "/metrics" => Only("GET", status.MetricsAsync),
            _ when vectors.Find(path) is { } answer => Only("POST", answer),
            _ when path.StartsWith("/v1/models/", StringComparison.Ordinal) => Only("GET", models.OneOpenAiAsync),
            _ when path.StartsWith("/v1/", StringComparison.Ordinal) && HttpMethods.IsPost(method) => relayByModel(context),
            _ => errors.UnknownPathAsync(context),
        };

        Task Only(string allowed, Answer answer)
            => method == allowed || (allowed == "GET" && HttpMethods.IsHead(method)) ? answer(context) : errors.WrongMethodAsync(context, allowed);
    }
}

/// <summary>Refusals of URLs, each in the dialect of its path.</summary>
internal sealed class ErrorEndpoints(ClientDialect openAi, ClientDialect ollama, ExchangeParts parts)
{
    private static readonly string[] OllamaPaths = ["/api/generate", "/api/show", "/api/ps", "/api/pull", "/api/push", "/api/create", "/api/copy", "/api/delete"];

    public ClientDialect DialectOf(HttpContext context) => context.Request.Path.StartsWithSegments("/api") ? ollama : openAi;

    public Task UnknownPathAsync(HttpContext context)
    {
        var path = context.Request.Path.Value!;
        return RefuseAsync(context, OllamaPaths.Contains(path)
            ? new(ProxyErrorKind.NotImplemented, $"{path} is not available on this proxy yet")
            : new(ProxyErrorKind.UnknownPath, $"there is nothing at {context.Request.Method} {path}"));
    }

    public Task WrongMethodAsync(HttpContext context, string allowed)
    {
        context.Response.Headers.Allow = allowed == "GET" ? "GET, HEAD, OPTIONS" : allowed + ", OPTIONS";
        return RefuseAsync(context, new(ProxyErrorKind.WrongMethod, $"{context.Request.Path} takes {allowed}, not {context.Request.Method}"));
    }

    private async Task RefuseAsync(HttpContext context, ProxyError error)
    {
        using var scope = CallScope.Begin(context, "other", DialectOf(context), parts);
        await scope.RefuseAsync(scope.Admit() ?? error);
    }
}
