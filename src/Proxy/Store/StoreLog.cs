using Microsoft.Extensions.Logging;

namespace Proxy.Store;

/// <summary>The log events of this folder. Ids 900-999.</summary>
internal static partial class StoreLog
{
    [LoggerMessage(900, LogLevel.Information, "Records are kept in {Place}", EventName = "store_open")]
    public static partial void Opened(this ILogger logger, string place);

    [LoggerMessage(901, LogLevel.Error, "The store fails, calls are served without a record ({Lost} lost so far): {Reason}", EventName = "store_failed")]
    public static partial void Failed(this ILogger logger, long lost, string reason);

    [LoggerMessage(902, LogLevel.Warning, "The store works again; {Lost} records were lost since the start", EventName = "store_works_again")]
    public static partial void WorksAgain(this ILogger logger, long lost);

    [LoggerMessage(903, LogLevel.Warning, "Expired rows were not deleted: {Reason}", EventName = "store_not_pruned")]
    public static partial void NotPruned(this ILogger logger, string reason);

    [LoggerMessage(904, LogLevel.Error, "The store failed in a way that is a bug", EventName = "store_bug")]
    public static partial void Bug(this ILogger logger, Exception problem);
}
