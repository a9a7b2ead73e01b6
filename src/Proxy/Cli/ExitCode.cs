namespace Proxy.Cli;

/// <summary>The exit codes of the process. Scripts rely on the numbers: never renumber them.</summary>
internal enum ExitCode
{
    /// <summary>Done; for <c>healthcheck</c>: healthy; for <c>doctor</c>: nothing failed, though there may be warnings.</summary>
    Ok = 0,

    /// <summary>The command failed; for <c>healthcheck</c>: not healthy, or no answer in time; for <c>doctor</c>: something does not work.</summary>
    Failed = 1,

    /// <summary>The command line itself is wrong.</summary>
    Usage = 2,

    /// <summary>The configuration has problems; they were printed.</summary>
    ConfigProblem = 3,

    /// <summary>The command needs a running proxy, and none answers on its admin socket.</summary>
    NotRunning = 4,

    /// <summary>The configuration was reloaded, but some settings, which were printed, take effect at the next start only.</summary>
    NeedsRestart = 5,
}
