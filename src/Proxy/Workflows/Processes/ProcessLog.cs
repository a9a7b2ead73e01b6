using Microsoft.Extensions.Logging;

namespace Proxy.Workflows.Processes;

/// <summary>The log events of this folder. Ids 1160-1169.</summary>
internal static partial class ProcessLog
{
    [LoggerMessage(1160, LogLevel.Information, "Call {TraceId}: its job writes: {Line}", EventName = "job_stderr")]
    public static partial void JobWrites(this ILogger logger, string traceId, string line);

    [LoggerMessage(1161, LogLevel.Information, "Call {TraceId}: {Lines} more lines of its job's stderr were left out", EventName = "job_stderr_cut")]
    public static partial void JobWroteMore(this ILogger logger, string traceId, long lines);

    [LoggerMessage(1162, LogLevel.Warning, "Call {TraceId}: its job, or what it started, did not end within {Seconds} s of SIGTERM and was killed",
        EventName = "job_killed")]
    public static partial void JobKilled(this ILogger logger, string traceId, double seconds);
}
