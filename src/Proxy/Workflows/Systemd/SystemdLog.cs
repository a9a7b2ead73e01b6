using Microsoft.Extensions.Logging;

namespace Proxy.Workflows.Systemd;

/// <summary>The log events of jobs that are units. Ids 1140-1149.</summary>
internal static partial class SystemdLog
{
    [LoggerMessage(1140, LogLevel.Warning, "The unit {Unit} cannot be followed, which is tried again: {Reason}", EventName = "systemd_away")]
    public static partial void SystemdAway(this ILogger logger, string unit, string reason);

    [LoggerMessage(1141, LogLevel.Warning, "The unit {Unit} could not be stopped: {Reason}", EventName = "systemd_not_stopped")]
    public static partial void NotStopped(this ILogger logger, string unit, string reason);
}
