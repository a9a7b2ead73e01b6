using Proxy.Chat;
using Proxy.Transport;

namespace Proxy.Backends;

/// <summary>The headers of a request to a host: the client's that are passed on, then the trace ids. A proxy also gets the session.</summary>
internal static class CrossingHeaders
{
    public static UpstreamHeader[] Of(IReadOnlyList<KeyValuePair<string, string>> crossing, CallInfo info, Backend backend)
    {
        var session = info.Session is not null && backend.IsProxy ? info.Session : null;
        var headers = new UpstreamHeader[crossing.Count + 3 + (info.TraceParent is null ? 0 : 1) + (info.TraceState is null ? 0 : 1)
            + (session is null ? 0 : 1)];
        var at = 0;
        for (; at < crossing.Count; at++)
        {
            var (name, value) = crossing[at];
            headers[at] = new(name, value);
        }

        headers[at++] = new("x-trace-id", info.TraceId);
        headers[at++] = new("x-correlation-id", info.CorrelationId);
        headers[at++] = new("x-request-id", info.RequestId ?? info.TraceId);
        if (info.TraceParent is { } parent) headers[at++] = new("traceparent", parent);
        if (info.TraceState is { } state) headers[at++] = new("tracestate", state);
        if (session is not null) headers[at] = new("x-session-id", session);
        return headers;
    }
}
