using Proxy.Config;
using Proxy.Workflows.Processes;

namespace Proxy.Cli.Workflows;

/// <summary>Pipelines: run from a terminal, and what <c>proxy check</c> says of them.</summary>
internal static class WorkflowsCli
{
    public static CliFeature Feature => CliFeature.None with
    {
        Verbs = static (around, config) => [RunCommand.Make(around, config)],
        Summary = static config => config.Pipelines.Select(static pipeline => $"  pipeline    {pipeline.Name}: {pipeline.Launcher}"),
        Warnings = static (config, _) => new((IReadOnlyList<string>)[.. config.Pipelines.SelectMany(Warnings)]),
    };

    private static IEnumerable<string> Warnings(PipelineConfig pipeline)
    {
        if (pipeline.Launcher is not "process") yield break;
        if (ProcessLauncher.Problem(pipeline) is { } problem) yield return $"[[pipelines]] {pipeline.Name}: {problem}";
        if (Sandbox.Problem(pipeline.Command) is { } sandboxed)
            yield return $"[[pipelines]] {pipeline.Name}: {sandboxed}; under that unit, write launcher = \"systemd\", whose units have a sandbox of their own";
    }
}
