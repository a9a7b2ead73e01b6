using Microsoft.Extensions.Logging;

namespace Proxy.Cache;

/// <summary>The log events of this folder. Ids 600-699.</summary>
internal static partial class CacheLog
{
    [LoggerMessage(500, LogLevel.Warning, "The exact cache goes on without the database for {Pause}: {Reason}", EventName = "cache_without_store")]
    public static partial void WithoutStore(this ILogger logger, TimeSpan pause, string reason);
}
