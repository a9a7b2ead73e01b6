using Microsoft.Extensions.Logging;

namespace Proxy.Traces;

/// <summary>The log events of this folder. Ids 1200-1299.</summary>
internal static partial class TracesLog
{
    [LoggerMessage(1300, LogLevel.Warning, "The traces cannot be sent to {Url}: {Reason}; calls are served, their spans wait or are dropped",
        EventName = "traces_down")]
    public static partial void TracesDown(this ILogger logger, string url, string reason);

    [LoggerMessage(1301, LogLevel.Information, "The traces are sent to {Url} again; spans dropped since the start: {Dropped}", EventName = "traces_up")]
    public static partial void TracesUp(this ILogger logger, string url, long dropped);

    [LoggerMessage(1302, LogLevel.Warning, "{Dropped} spans were dropped, {Total} since the start: {Reason}", EventName = "spans_dropped")]
    public static partial void SpansDropped(this ILogger logger, long dropped, long total, string reason);

    [LoggerMessage(1303, LogLevel.Error, "Spans could not be written and were dropped", EventName = "spans_failed")]
    public static partial void SpansFailed(this ILogger logger, Exception problem);
}
