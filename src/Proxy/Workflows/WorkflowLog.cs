using Microsoft.Extensions.Logging;

namespace Proxy.Workflows;

/// <summary>The log events of this folder. Ids 1100-1199.</summary>
internal static partial class WorkflowLog
{
    [LoggerMessage(1100, LogLevel.Debug, "Call {TraceId}: pipeline {Pipeline} runs as {Run}", EventName = "job_launched")]
    public static partial void JobLaunched(this ILogger logger, string traceId, string pipeline, string run);

    [LoggerMessage(1101, LogLevel.Warning, "Call {TraceId}: the job of pipeline {Pipeline} was not launched: {Reason}", EventName = "job_not_launched")]
    public static partial void JobNotLaunched(this ILogger logger, string traceId, string pipeline, string reason);

    [LoggerMessage(1102, LogLevel.Warning, "Call {TraceId}: the job of pipeline {Pipeline} failed: {Reason}", EventName = "job_failed")]
    public static partial void JobFailed(this ILogger logger, string traceId, string pipeline, string reason);

    [LoggerMessage(1103, LogLevel.Warning, "Call {TraceId}: the job of pipeline {Pipeline} sent what is not an event, {Line}: {Reason}",
        EventName = "job_line_unread")]
    public static partial void LineNotRead(this ILogger logger, string traceId, string pipeline, string line, string reason);

    [LoggerMessage(1104, LogLevel.Warning, "Call {TraceId}: the artifact {Key} of pipeline {Pipeline} is not kept: {Reason}", EventName = "artifact_not_kept")]
    public static partial void ArtifactNotKept(this ILogger logger, string traceId, string pipeline, string key, string reason);

    [LoggerMessage(1105, LogLevel.Information, "Call {TraceId}: the job of pipeline {Pipeline} runs again, attempt {Attempt}", EventName = "job_again")]
    public static partial void JobAgain(this ILogger logger, string traceId, string pipeline, long attempt);

    [LoggerMessage(1106, LogLevel.Warning, "Call {TraceId}: events of pipeline {Pipeline} are missing before number {Seq}; the others are shown",
        EventName = "job_events_missing")]
    public static partial void EventsMissing(this ILogger logger, string traceId, string pipeline, long seq);

    [LoggerMessage(1107, LogLevel.Warning, "Call {TraceId}: the job of pipeline {Pipeline} could not be told to stop: {Reason}",
        EventName = "job_not_cancelled")]
    public static partial void NotCancelled(this ILogger logger, string traceId, string pipeline, string reason);
}
