using Proxy.Config;
using Proxy.Workflows;
using Proxy.Workflows.Dagster;

namespace Proxy.Cli.Workflows;

/// <summary>The servers of Dagster's pipelines in <c>proxy check</c>.</summary>
internal static class DagsterCheck
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    public static async ValueTask<IReadOnlyList<string>> WarningsAsync(ProxyConfig config, CancellationToken cancellation)
    {
        var warnings = new List<string>();
        using var server = new DagsterServer(TimeProvider.System);
        foreach (var pipeline in config.Pipelines)
        {
            if (pipeline.Launcher is not "dagster") continue;
            try
            {
                await DagsterSchema.ProbeAsync(server, pipeline.Url!, Patience, cancellation).ConfigureAwait(false);
                await DagsterPlace.FindAsync(server, pipeline, Patience, cancellation).ConfigureAwait(false);
            }
            catch (LaunchException problem)
            {
                warnings.Add($"the pipeline {pipeline.Name} cannot be launched: {problem.Message}");
            }
        }

        return warnings;
    }
}
