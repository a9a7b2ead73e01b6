namespace Proxy.Http;

/// <summary>CORS headers, only for the origins that the configuration lists.</summary>
internal static class Cors
{
    /// <summary>Answers a preflight request: 204 with the allowed methods and headers, or 403.</summary>
    public static void Preflight(HttpContext context, ApiKeyGate gate)
    {
        if (gate.AllowedOrigin(context) is null)
        {
            context.Response.StatusCode = StatusCodes.Status403Forbidden;
            return;
        }

        var request = context.Request.Headers;
        var response = context.Response.Headers;
        Answer(context, gate);
        response.AccessControlAllowMethods = "GET, POST, DELETE, HEAD, OPTIONS";
        response.AccessControlAllowHeaders =
            request.AccessControlRequestHeaders.Count > 0 ? request.AccessControlRequestHeaders : "authorization, content-type, x-api-key";
        response.AccessControlMaxAge = "600";
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    /// <summary>Allows a page of a listed origin to read the response.</summary>
    public static void Answer(HttpContext context, ApiKeyGate gate)
    {
        if (gate.AllowedOrigin(context) is not { } origin) return;
        var response = context.Response.Headers;
        response.AccessControlAllowOrigin = origin;
        response.Vary = "Origin";
        response.AccessControlExposeHeaders = "x-trace-id, x-correlation-id, x-request-id, x-session-id, request-id, x-token-count, "
            + "x-proxy-winner, x-proxy-task, x-proxy-run-id, x-proxy-sources, x-rag-sources, x-rag-trace, x-req-id, x-cache, x-joined-trace-id, "
            + "idempotent-replayed, location, openai-poll-after-ms, content-disposition, retry-after";
    }
}
