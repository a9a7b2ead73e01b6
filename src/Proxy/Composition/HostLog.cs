namespace Proxy.Composition;

/// <summary>The log events of this folder. Ids 100-199.</summary>
internal static partial class HostLog
{
    [LoggerMessage(100, LogLevel.Information, "Listening on {Url} ({Transport})", EventName = "listening")]
    public static partial void Listening(this ILogger logger, string url, string transport);

    [LoggerMessage(101, LogLevel.Information, "Proxy {Version} started with {Config}, {Backends} backends, {Keys} keys", EventName = "started")]
    public static partial void Started(this ILogger logger, string version, string config, int backends, int keys);

    [LoggerMessage(102, LogLevel.Information, "Stopping: {Running} running calls have {Drain} to finish", EventName = "stopping")]
    public static partial void Stopping(this ILogger logger, int running, TimeSpan drain);

    [LoggerMessage(103, LogLevel.Warning, "Breaking off {Running} calls that did not finish within {Drain}", EventName = "drain_over")]
    public static partial void DrainOver(this ILogger logger, int running, TimeSpan drain);

    [LoggerMessage(104, LogLevel.Information, "Stopped", EventName = "stopped")]
    public static partial void Stopped(this ILogger logger);

    [LoggerMessage(105, LogLevel.Warning, "No admin socket: {Reason}. 'proxy models' and 'proxy reload' cannot reach this process", EventName = "no_admin")]
    public static partial void NoAdmin(this ILogger logger, string reason);

    [LoggerMessage(106, LogLevel.Warning, "{Section} changed in the file; the change takes effect at the next start", EventName = "needs_restart")]
    public static partial void NeedsRestart(this ILogger logger, string section);

    [LoggerMessage(107, LogLevel.Error, "Cannot listen: {Reason}", EventName = "cannot_listen")]
    public static partial void CannotListen(this ILogger logger, string reason);

    [LoggerMessage(108, LogLevel.Error, "The certificate was not reloaded, the old one stays in use: {Reason}", EventName = "certificate_kept")]
    public static partial void CertificateKept(this ILogger logger, string reason);

    [LoggerMessage(120, LogLevel.Warning, "{Variable} is set but not used: {Reason}", EventName = "unused_variable")]
    public static partial void UnusedVariable(this ILogger logger, string variable, string reason);
}
