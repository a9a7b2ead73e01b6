using System.Collections.Frozen;
using Proxy.Chat;

namespace Proxy.Http;

/// <summary>Answers a request.</summary>
internal delegate Task Answer(HttpContext context);

/// <summary>A row of the table of URLs. A request is answered by the first row of its path that takes its method.</summary>
/// <param name="Method"><c>GET</c> takes HEAD too; <c>*</c> takes every method.</param>
/// <param name="Paths">
/// A path that ends in a slash stands for all paths below it that have no row of their own. Base urls are often typed without <c>/v1</c>: what such clients ask
/// for has both paths.
/// </param>
/// <param name="Answer">Answers the request.</param>
internal sealed record EndpointRow(string Method, string[] Paths, Answer Answer);

/// <summary>
/// Every URL: finds the row of a request's path. A request without a row is refused in the dialect of its path. ASP.NET's routing is not used, because every
/// call passes here and the table is small.
/// </summary>
/// <param name="rows">The rows of all features.</param>
/// <param name="admin">Answers on the operator's socket.</param>
/// <param name="relay">Answers a POST below <c>/v1/</c> that has no row.</param>
/// <param name="errors">Refuses everything else.</param>
/// <param name="gate">Knows the origins that a preflight may name.</param>
internal sealed class Endpoints(IReadOnlyList<EndpointRow> rows, AdminEndpoints admin, ModelExchange relay, ErrorEndpoints errors, ApiKeyGate gate)
{
    private readonly FrozenDictionary<string, EndpointRow[]> table = rows.SelectMany(static row => row.Paths).Distinct()
        .ToFrozenDictionary(static path => path, path => rows.Where(row => row.Paths.Contains(path)).ToArray());
    private readonly string[] starts = [.. rows.SelectMany(static row => row.Paths).Where(static path => path is [_, .., '/']).Distinct()];

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
        if (IsHandshake(context.Request)) return errors.NoWebSocketAsync(context);

        if ((table.GetValueOrDefault(path) ?? Below(path)) is not { } found)
        {
            return HttpMethods.IsPost(method) && path.StartsWith("/v1/", StringComparison.Ordinal)
                ? relay.HandleAsync(context)
                : errors.UnknownPathAsync(context);
        }

        foreach (var row in found)
        {
            if (row.Method == method || row.Method is "*" || (row.Method is "GET" && HttpMethods.IsHead(method))) return row.Answer(context);
        }

        return errors.WrongMethodAsync(context, found[0].Method);
    }

    private EndpointRow[]? Below(string path) =>
        Array.Find(starts, start => path.StartsWith(start, StringComparison.Ordinal)) is { } found ? table[found] : null;

    /// <summary>A websocket is asked for by a GET, and by a CONNECT in HTTP/2.</summary>
    private static bool IsHandshake(HttpRequest request) => request.Method switch
    {
        "GET" => request.Headers.Upgrade.Count > 0 && request.Headers.Upgrade.ToString().Contains("websocket", StringComparison.OrdinalIgnoreCase),
        "CONNECT" => request.Path.HasValue, // else it wants a tunnel
        _ => false,
    };
}

/// <summary>Refusals of URLs, each in the dialect of its path.</summary>
internal sealed class ErrorEndpoints(IReadOnlyList<Surface> surfaces, ExchangeParts parts)
{
    public Task UnknownPathAsync(HttpContext context) =>
        RefuseAsync(context, new(ProxyErrorKind.UnknownPath, $"there is nothing at {context.Request.Method} {context.Request.Path.Value}"));

    /// <summary>Realtime sessions, and Responses over a socket: a client that is told so falls back to HTTP, or says why it cannot.</summary>
    public Task NoWebSocketAsync(HttpContext context) =>
        RefuseAsync(context, new(ProxyErrorKind.NotImplemented, $"this proxy serves no websockets and no realtime sessions, so not {context.Request.Path.Value} "
            + "either: stream over HTTP, by POST to /v1/responses or /v1/chat/completions"));

    /// <summary>A request that two readers could read differently.</summary>
    public Task UnclearAsync(HttpContext context, string what)
        => RefuseAsync(context, new(ProxyErrorKind.InvalidRequest, $"the request has {what}: a server could read it as another request than another one does"));

    public Task WrongMethodAsync(HttpContext context, string allowed)
    {
        context.Response.Headers.Allow = allowed == "GET" ? "GET, HEAD, OPTIONS" : allowed + ", OPTIONS";
        return RefuseAsync(context, new(ProxyErrorKind.WrongMethod, $"{context.Request.Path} takes {allowed}, not {context.Request.Method}"));
    }

    public Task RefuseAsync(HttpContext context, ProxyError error) =>
        new HandlerExchange("other", surfaces.First(surface => surface.Has(context.Request)).Dialect, parts, (_, _) => new(error)) { ReadsBody = false }
            .HandleAsync(context);
}
