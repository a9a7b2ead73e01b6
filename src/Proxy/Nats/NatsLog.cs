using Microsoft.Extensions.Logging;

namespace Proxy.Nats;

/// <summary>The log events of this folder. Ids 600-699.</summary>
internal static partial class NatsLog
{
    [LoggerMessage(600, LogLevel.Information, "Connected to NATS {Version} at {Server}; messages dropped since the start: {Dropped}", EventName = "nats_up")]
    public static partial void NatsUp(this ILogger logger, string server, string version, long dropped);

    [LoggerMessage(601, LogLevel.Warning, "No connection to NATS at {Server}: {Reason}; calls are served, their events wait or are dropped",
        EventName = "nats_down")]
    public static partial void NatsDown(this ILogger logger, string server, string reason);

    [LoggerMessage(602, LogLevel.Warning, "{Dropped} messages to NATS were dropped, {Total} since the start: {Reason}", EventName = "nats_dropped")]
    public static partial void NatsDropped(this ILogger logger, long dropped, long total, string reason);

    [LoggerMessage(603, LogLevel.Warning, "The NATS server reports: {Error}", EventName = "nats_error")]
    public static partial void NatsError(this ILogger logger, string error);

    [LoggerMessage(604, LogLevel.Information, "Created the JetStream stream {Stream} for {Subject}", EventName = "nats_stream_created")]
    public static partial void StreamCreated(this ILogger logger, string stream, string subject);

    [LoggerMessage(605, LogLevel.Warning, "The JetStream stream {Stream} is used as it is, although it is not as the proxy would create it: {Differences}",
        EventName = "nats_stream_differs")]
    public static partial void StreamDiffers(this ILogger logger, string stream, string differences);

    [LoggerMessage(606, LogLevel.Warning, "JetStream does not keep {Subject}, which is published to its subscribers only: {Reason}",
        EventName = "nats_not_kept")]
    public static partial void NotKept(this ILogger logger, string subject, string reason);

    [LoggerMessage(607, LogLevel.Error, "Call {TraceId}: its answer could not be read for NATS, no more of its events are published",
        EventName = "nats_unread")]
    public static partial void NotRead(this ILogger logger, Exception problem, string traceId);

    [LoggerMessage(608, LogLevel.Warning, "The conversation of call {TraceId} cannot be put into JetStream's object store and is cut: {Reason}",
        EventName = "nats_cut")]
    public static partial void ConversationCut(this ILogger logger, string traceId, string reason);

    [LoggerMessage(609, LogLevel.Error, "A message to NATS could not be written and was dropped", EventName = "nats_failed")]
    public static partial void MessageFailed(this ILogger logger, Exception problem);

    [LoggerMessage(610, LogLevel.Error,
        "[streams] journal is \"jetstream\", but JetStream keeps none: {Reason}; answers stay in this process's memory, no other proxy can continue them",
        EventName = "nats_no_journal")]
    public static partial void NoSharedJournal(this ILogger logger, string reason);

    [LoggerMessage(611, LogLevel.Error, "Pipeline {Pipeline} has no queue in JetStream: {Reason}; its calls are refused until it has one",
        EventName = "nats_no_queue")]
    public static partial void NoQueue(this ILogger logger, string pipeline, string reason);

    [LoggerMessage(612, LogLevel.Information, "Pipeline {Pipeline} has its queue: workers pull from the consumer {Pipeline} of {Stream}",
        EventName = "nats_queue")]
    public static partial void HasQueue(this ILogger logger, string pipeline, string stream);
}
