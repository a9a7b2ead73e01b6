using Microsoft.Extensions.Logging;

namespace Proxy.Knowledge.Ingest;

/// <summary>The log events of this folder. Ids 1000-1099.</summary>
internal static partial class IngestLog
{
    [LoggerMessage(1000, LogLevel.Debug, "File {File} is in workspace {Workspace}: {Chunks} chunks in {Milliseconds:0} ms", EventName = "file_ingested")]
    public static partial void FileIngested(this ILogger log, string workspace, string file, int chunks, double milliseconds);

    [LoggerMessage(1001, LogLevel.Information, "File {File} cannot be read into workspace {Workspace}: {Reason}", EventName = "file_not_ingested")]
    public static partial void FileNotIngested(this ILogger log, string workspace, string file, string reason);

    [LoggerMessage(1002, LogLevel.Warning, "Files wait to be read into workspaces: {Reason}", EventName = "ingest_waits")]
    public static partial void IngestWaits(this ILogger log, string reason);

    [LoggerMessage(1003, LogLevel.Error, "File {File} cannot be read into workspace {Workspace} because of a bug", EventName = "ingest_bug")]
    public static partial void IngestBug(this ILogger log, Exception problem, string workspace, string file);
}
