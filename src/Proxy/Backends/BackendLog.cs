using Microsoft.Extensions.Logging;

namespace Proxy.Backends;

/// <summary>The log events of this folder. Ids 200-299.</summary>
internal static partial class BackendLog
{
    [LoggerMessage(200, LogLevel.Warning, "Backend {Backend} went down: {Reason}", EventName = "backend_down")]
    public static partial void WentDown(this ILogger logger, string backend, string reason);

    [LoggerMessage(201, LogLevel.Information, "Backend {Backend} is up, serving {Models} models", EventName = "backend_up")]
    public static partial void CameUp(this ILogger logger, string backend, int models);

    [LoggerMessage(202, LogLevel.Warning, "Call {TraceId} failed at backend {Backend}: {Reason}", EventName = "attempt_failed")]
    public static partial void AttemptFailed(this ILogger logger, string traceId, string backend, string reason);

    [LoggerMessage(203, LogLevel.Error, "Backend {Backend} refuses the proxy's key (status {Status}): set key or key_file", EventName = "backend_unauthorized")]
    public static partial void Unauthorized(this ILogger logger, string backend, int status);

    [LoggerMessage(204, LogLevel.Warning, "Call {TraceId} to backend {Backend} loses fields that its dialect lacks: {Lost}", EventName = "fields_lost")]
    public static partial void FieldsLost(this ILogger logger, string traceId, string backend, string lost);
}
