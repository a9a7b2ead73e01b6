namespace Proxy.Http;

/// <summary>The headers that tell every hop between us and the client not to buffer or change the stream.</summary>
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
