using Microsoft.Extensions.Logging;

namespace Proxy.Workflows.Dagster;

/// <summary>The log events of this folder. Ids 1180-1189.</summary>
internal static partial class DagsterLog
{
    [LoggerMessage(1180, LogLevel.Warning, "Call {TraceId}: the run {Run} of Dagster at {Url} was told to end and goes on, as far as is known",
        EventName = "dagster_run_goes_on")]
    public static partial void RunGoesOn(this ILogger logger, string traceId, string run, string url);
}
