using Microsoft.Extensions.Logging;

namespace Proxy.Transport;

/// <summary>The log messages of this folder. Ids 700-799.</summary>
internal static partial class TransportLog
{
    [LoggerMessage(700, LogLevel.Critical, "An unexpected exception reached loop {Loop}; the connection concerned may hang", EventName = "loop_fault")]
    public static partial void LoopFault(this ILogger logger, int loop, Exception fault);

    [LoggerMessage(701, LogLevel.Warning, "Cannot accept connections on {Listener}: {Reason}; retrying in a second", EventName = "accept_failed")]
    public static partial void CannotAccept(this ILogger logger, string listener, string reason);

    [LoggerMessage(703, LogLevel.Warning,
        "Accepting on {Listener} is paused: {Ceiling} of the process's {Limit} file descriptors are open, and the rest is reserved for connections to hosts",
        EventName = "accept_paused")]
    public static partial void AcceptPaused(this ILogger logger, string listener, long ceiling, long limit);

    [LoggerMessage(702, LogLevel.Error, "A request's handler failed", EventName = "handler_fault")]
    public static partial void HandlerFault(this ILogger logger, Exception fault);
}
