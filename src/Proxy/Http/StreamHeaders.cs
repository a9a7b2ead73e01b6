namespace Proxy.Http;

/// <summary>What tells every hop between us and the client to pass a stream on as it comes.</summary>
internal static class StreamHeaders
{
    public static void Set(HttpResponse response, string contentType)
    {
        response.StatusCode = StatusCodes.Status200OK;
        response.ContentType = contentType;
        response.Headers.CacheControl = "no-cache, no-transform";
        response.Headers["x-accel-buffering"] = "no";
    }
}
