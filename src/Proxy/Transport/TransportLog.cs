using Microsoft.Extensions.Logging;

namespace Proxy.Transport;

/// <summary>Everything this folder says to the log. Ids 700-799.</summary>
internal static partial class TransportLog
{
    [LoggerMessage(700, LogLevel.Critical, "Loop {Loop} came upon a fault of ours; the connection concerned may hang", EventName = "loop_fault")]
    public static partial void LoopFault(this ILogger logger, int loop, Exception fault);

    [LoggerMessage(701, LogLevel.Warning, "No connection can be accepted on {Listener}: {Reason}; trying again in a second", EventName = "accept_failed")]
    public static partial void CannotAccept(this ILogger logger, string listener, string reason);

    [LoggerMessage(703, LogLevel.Warning, "No more connections are accepted on {Listener} for now: {Ceiling} of the process's {Limit} descriptors are open, and the rest is kept for hosts", EventName = "accept_paused")]
    public static partial void AcceptPaused(this ILogger logger, string listener, long ceiling, long limit);

    [LoggerMessage(702, LogLevel.Error, "A request's handler failed", EventName = "handler_fault")]
    public static partial void HandlerFault(this ILogger logger, Exception fault);
}
