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

    [LoggerMessage(109, LogLevel.Information, "Handed over to process {Pid}; {Running} running calls have {Drain} to finish here", EventName = "handed_over")]
    public static partial void HandedOver(this ILogger logger, int pid, int running, TimeSpan drain);

    [LoggerMessage(110, LogLevel.Warning, "No handoff: {Reason}", EventName = "handoff_refused")]
    public static partial void HandoffRefused(this ILogger logger, string reason);

    [LoggerMessage(111, LogLevel.Error, "The handoff failed, this process serves on: {Reason}", EventName = "handoff_failed")]
    public static partial void HandoffFailed(this ILogger logger, string reason);

    [LoggerMessage(112, LogLevel.Information, "Took over from process {Pid}; {Predecessors} earlier processes still finish calls", EventName = "took_over")]
    public static partial void TookOver(this ILogger logger, int pid, int predecessors);

    [LoggerMessage(113, LogLevel.Information, "Process {Pid}, which handed over, has ended", EventName = "predecessor_ended")]
    public static partial void PredecessorEnded(this ILogger logger, int pid);

    [LoggerMessage(114, LogLevel.Warning, "The process that took over has ended; running calls finish here", EventName = "successor_ended")]
    public static partial void SuccessorEnded(this ILogger logger);

    [LoggerMessage(120, LogLevel.Warning, "{Variable} is set but not used: {Reason}", EventName = "unused_variable")]
    public static partial void UnusedVariable(this ILogger logger, string variable, string reason);
}
