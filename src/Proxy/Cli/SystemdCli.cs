using Proxy.Workflows.Systemd;

namespace Proxy.Cli;

/// <summary>Pipelines of the launcher <c>systemd</c> on the command line.</summary>
internal static class SystemdCli
{
    public static readonly CliFeature Feature = CliFeature.None with
    {
        Verbs = static (around, config) => [PolkitCommand.Make(around, config)],
        Warnings = static async (config, cancellation) => await SystemdCheck.WarningsAsync(config.Pipelines, cancellation).ConfigureAwait(false),
    };
}
