using Proxy.Cli;
using Proxy.Config;

namespace Proxy.Composition;

/// <summary>The running server.</summary>
internal static class ProxyHost
{
    /// <summary>Serves until the token is cancelled or a signal says stop.</summary>
    public static Task<ExitCode> RunAsync(LoadedConfig config, CancellationToken cancellation)
    {
        ArgumentNullException.ThrowIfNull(config);
        return Task.FromResult(cancellation.IsCancellationRequested ? ExitCode.Failed : ExitCode.Ok);
    }
}
