using Microsoft.Extensions.Logging;

namespace Proxy.Store.Spooling;

/// <summary>The log events of this folder. Ids 950-999.</summary>
internal static partial class SpoolLog
{
    [LoggerMessage(950, LogLevel.Warning, "Records are spooled in {Folder} until the database can be used: {Reason}", EventName = "spool_begin")]
    public static partial void SpoolBegins(this ILogger logger, string folder, string reason);

    [LoggerMessage(951, LogLevel.Information, "The database can be used again: {Rows} spooled records were delivered, {Seconds:F1} s after it failed",
        EventName = "spool_end")]
    public static partial void SpoolEnds(this ILogger logger, long rows, double seconds);

    [LoggerMessage(952, LogLevel.Error, "The database does not take {Rows} or fewer spooled records, they are lost: {Reason}", EventName = "spool_refused")]
    public static partial void SpoolRefused(this ILogger logger, int rows, string reason);

    [LoggerMessage(953, LogLevel.Error, "The spool in {Folder} cannot be read: {Reason}", EventName = "spool_unreadable")]
    public static partial void SpoolUnreadable(this ILogger logger, string folder, string reason);

    [LoggerMessage(954, LogLevel.Error, "{Rows} spooled records were damaged on the disk, they are lost", EventName = "spool_damaged")]
    public static partial void SpoolDamaged(this ILogger logger, long rows);
}
