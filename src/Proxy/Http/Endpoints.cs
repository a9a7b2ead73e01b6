using Proxy.Chat;

namespace Proxy.Http;

/// <summary>What answers a URL.</summary>
internal delegate Task Answer(HttpContext context);

/// <summary>
/// Every URL there is, always mapped: what is not built or not configured refuses in the words of its dialect. Matched by hand, because every call passes here and the table is this small.
/// </summary>
internal sealed class Endpoints(
    Answer openAiChat, Answer openAiCompletions, Answer openAiResponses, Answer openAiResponsesCount, Answer ollamaChat, Answer ollamaGenerate, Answer anthropicMessages, Answer anthropicCount, Answer relayByModel,
    VectorEndpoints vectors, ModelEndpoints models, OllamaHostEndpoints ollamaHosts, StatusEndpoints status, AdminEndpoints admin, ErrorEndpoints errors, ApiKeyGate gate)
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

        if ((UnclearPath.Of(context) ?? UnclearFields.Of(context)) is { } unclear) return errors.UnclearAsync(context, unclear);
        if (path.Length > 1 && path[^1] == '/') path = path.TrimEnd('/'); // some base urls end so, and clients append to them
        if (LacksVersion(path)) path = "/v1" + path;
        if (IsHandshake(context.Request)) return errors.NoWebSocketAsync(context);

        return path switch
        {
            "/v1/chat/completions" => Only("POST", openAiChat),
            "/v1/completions" => Only("POST", openAiCompletions),
            "/v1/responses" => Only("POST", openAiResponses),
            "/v1/responses/input_tokens" => Only("POST", openAiResponsesCount),
            "/v1/messages" => Only("POST", anthropicMessages),
            "/v1/messages/count_tokens" => Only("POST", anthropicCount),
            "/v1/models" => Only("GET", models.ListAsync),
            "/api/chat" => Only("POST", ollamaChat),
            "/api/generate" => Only("POST", ollamaGenerate),
            "/api/tags" => Only("GET", models.ListOllamaAsync),
            "/api/ps" => Only("GET", models.ListRunningAsync),
            "/api/show" => Only("POST", ollamaHosts.ShowAsync),
            "/api/pull" or "/api/push" or "/api/create" => Only("POST", ollamaHosts.ManageAsync),
            "/api/copy" => Only("POST", ollamaHosts.CopyAsync),
            "/api/delete" => Only("DELETE", ollamaHosts.ManageAsync),
            "/api/version" => Only("GET", status.VersionAsync),
            "/" => Only("GET", StatusEndpoints.RootAsync),
            "/health" => Only("GET", StatusEndpoints.HealthAsync),
            "/ready" => Only("GET", status.ReadyAsync),
            "/metrics" => Only("GET", status.MetricsAsync),
            "/info" => Only("GET", vectors.InfoAsync),
            "/v1/realtime" => errors.NoWebSocketAsync(context),
            _ when vectors.Find(path) is { } answer => Only("POST", answer),
            _ when path.StartsWith("/v1/models/", StringComparison.Ordinal) => Only("GET", models.OneAsync),
            _ when path.StartsWith("/v1/responses/", StringComparison.Ordinal) && path is not "/v1/responses/compact" => errors.NoResponseAsync(context),
            _ when path.StartsWith(OllamaHostEndpoints.Blobs, StringComparison.Ordinal) => HttpMethods.IsHead(method) ? ollamaHosts.BlobAsync(context) : Only("POST", ollamaHosts.BlobAsync),
            _ when path.StartsWith("/v1/messages/", StringComparison.Ordinal) => errors.UnknownPathAsync(context), // batches: no local host has them
            _ when path.StartsWith("/v1/", StringComparison.Ordinal) && HttpMethods.IsPost(method) => relayByModel(context),
            _ => errors.UnknownPathAsync(context),
        };

        Task Only(string allowed, Answer answer)
            => method == allowed || (allowed == "GET" && HttpMethods.IsHead(method)) ? answer(context) : errors.WrongMethodAsync(context, allowed);
    }

    /// <summary>Many base urls are typed without <c>/v1</c>. These paths, and no others, are then served all the same.</summary>
    private static bool LacksVersion(string path) =>
        path is "/chat/completions" or "/completions" or "/responses" or "/embeddings" or "/models" or "/messages" || path.StartsWith("/models/", StringComparison.Ordinal);

    /// <summary>A websocket is asked for by a GET, and by a CONNECT in HTTP/2.</summary>
    private static bool IsHandshake(HttpRequest request) => request.Method switch
    {
        "GET" => request.Headers.Upgrade.Count > 0 && request.Headers.Upgrade.ToString().Contains("websocket", StringComparison.OrdinalIgnoreCase),
        "CONNECT" => request.Path.HasValue, // else it wants a tunnel
        _ => false,
    };
}

/// <summary>Refusals of URLs, each in the dialect of its path.</summary>
internal sealed class ErrorEndpoints(ClientDialect openAi, ClientDialect ollama, ClientDialect anthropic, ExchangeParts parts)
{
    public ClientDialect DialectOf(HttpContext context) =>
        context.Request.Path.StartsWithSegments("/api") ? ollama
        : context.Request.Path.StartsWithSegments("/v1/messages") || context.Request.Path.StartsWithSegments("/messages") || ModelEndpoints.IsAnthropics(context.Request) ? anthropic
        : openAi;

    public Task UnknownPathAsync(HttpContext context) => RefuseAsync(context, new(ProxyErrorKind.UnknownPath, $"there is nothing at {context.Request.Method} {context.Request.Path.Value}"));

    /// <summary>Realtime sessions, and Responses over a socket: a client that is told so falls back to HTTP, or says why it cannot.</summary>
    public Task NoWebSocketAsync(HttpContext context) =>
        RefuseAsync(context, new(ProxyErrorKind.NotImplemented, $"this proxy serves no websockets and no realtime sessions, so not {context.Request.Path.Value} either: stream over HTTP, by POST to /v1/responses or /v1/chat/completions"));

    /// <summary>A request that two readers could read differently.</summary>
    public Task UnclearAsync(HttpContext context, string what)
        => RefuseAsync(context, new(ProxyErrorKind.InvalidRequest, $"the request has {what}: a server could read it as another request than another one does"));

    /// <summary>Whatever is done with a response by its id.</summary>
    public Task NoResponseAsync(HttpContext context) => RefuseAsync(context, new(ProxyErrorKind.UnknownPath, $"this proxy keeps no responses yet: there is nothing at {context.Request.Method} {context.Request.Path}") { Code = "response_not_found" });

    public Task WrongMethodAsync(HttpContext context, string allowed)
    {
        context.Response.Headers.Allow = allowed == "GET" ? "GET, HEAD, OPTIONS" : allowed + ", OPTIONS";
        return RefuseAsync(context, new(ProxyErrorKind.WrongMethod, $"{context.Request.Path} takes {allowed}, not {context.Request.Method}"));
    }

    private Task RefuseAsync(HttpContext context, ProxyError error) => new HandlerExchange("other", DialectOf(context), parts, (_, _) => new(error)).HandleAsync(context);
}
