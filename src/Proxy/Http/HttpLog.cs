namespace Proxy.Http;

/// <summary>Everything that this folder logs, except the one line per call. Ids 300-399.</summary>
internal static partial class HttpLog
{
    [LoggerMessage(300, LogLevel.Error, "Call {TraceId} failed inside the proxy", EventName = "call_failed")]
    public static partial void CallFailed(this ILogger logger, Exception problem, string traceId);

    [LoggerMessage(301, LogLevel.Information, "Configuration reloaded: {Backends} backends, {Keys} keys", EventName = "reloaded")]
    public static partial void Reloaded(this ILogger logger, int backends, int keys);

    [LoggerMessage(303, LogLevel.Warning, "Call {TraceId}: dropped parts of unknown kinds, sent by backend {Backend}: {Kinds}", EventName = "parts_skipped")]
    public static partial void PartsSkipped(this ILogger logger, string traceId, string? backend, string kinds);

    [LoggerMessage(304, LogLevel.Error, "The records cannot be read: {Reason}", EventName = "store_unreadable")]
    public static partial void StoreUnreadable(this ILogger logger, string reason);

    [LoggerMessage(305, LogLevel.Error, "Response {Id} is not kept in the store: {Reason}", EventName = "response_not_stored")]
    public static partial void ResponseNotStored(this ILogger logger, string id, string reason);

    [LoggerMessage(302, LogLevel.Error, "Configuration not reloaded, the old one stays in use: {Problems}", EventName = "reload_refused")]
    public static partial void ReloadRefused(this ILogger logger, string problems);
}
