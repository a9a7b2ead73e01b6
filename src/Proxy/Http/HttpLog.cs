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

    [LoggerMessage(306, LogLevel.Error, "The store of documents cannot be used: {Reason}", EventName = "documents_unusable")]
    public static partial void DocumentsUnusable(this ILogger logger, string reason);

    [LoggerMessage(307, LogLevel.Error, "An upload cannot be kept on the disk: {Reason}", EventName = "upload_not_kept")]
    public static partial void UploadNotKept(this ILogger logger, string reason);

    [LoggerMessage(302, LogLevel.Error, "Configuration not reloaded, the old one stays in use: {Problems}", EventName = "reload_refused")]
    public static partial void ReloadRefused(this ILogger logger, string problems);

    [LoggerMessage(310, LogLevel.Warning, "The shared journals cannot be reached: {Reason}; answers go on, what is journaled waits here",
        EventName = "journal_away")]
    public static partial void JournalsAway(this ILogger logger, string reason);

    [LoggerMessage(311, LogLevel.Information, "The shared journals can be reached again", EventName = "journal_back")]
    public static partial void JournalsBack(this ILogger logger);

    [LoggerMessage(312, LogLevel.Warning, "Call {TraceId}: its answer ended before all of it was in the shared journal", EventName = "journal_end_not_stored")]
    public static partial void EndNotStored(this ILogger logger, string traceId);

    [LoggerMessage(313, LogLevel.Warning, "Call {TraceId}: its shared journal cannot be written on: {Reason}", EventName = "journal_lost")]
    public static partial void JournalLost(this ILogger logger, string traceId, string reason);

    [LoggerMessage(314, LogLevel.Warning, "Call {TraceId}: its Idempotency-Key is not known to other proxies: {Reason}", EventName = "key_not_shared")]
    public static partial void KeyNotShared(this ILogger logger, string traceId, string reason);

    [LoggerMessage(315, LogLevel.Error, "The answer to call {TraceId} could not be read from its shared journal", EventName = "journal_unread")]
    public static partial void MirrorFailed(this ILogger logger, Exception problem, string traceId);

    [LoggerMessage(316, LogLevel.Error, "The answer to call {TraceId} could not be written to its shared journal", EventName = "journal_failed")]
    public static partial void ShippingFailed(this ILogger logger, Exception problem, string traceId);

    [LoggerMessage(317, LogLevel.Warning, "Call {TraceId}: another proxy has taken over its Idempotency-Key, so its generation is stopped",
        EventName = "key_lost")]
    public static partial void KeyLost(this ILogger logger, string traceId);

    [LoggerMessage(318, LogLevel.Error, "The lease on the Idempotency-Key of call {TraceId} failed in a way that is a bug", EventName = "key_lease_failed")]
    public static partial void KeyLeaseFailed(this ILogger logger, Exception problem, string traceId);
}
