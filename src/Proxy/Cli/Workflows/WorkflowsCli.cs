using Proxy.Cli.Doctor;
using Proxy.Config;
using Proxy.Workflows.Processes;
using Proxy.Workflows.Systemd;

namespace Proxy.Cli.Workflows;

/// <summary>Pipelines: run from a terminal, the rule that lets units start, and what <c>proxy check</c> says of pipelines.</summary>
internal static class WorkflowsCli
{
    public static CliFeature Feature => CliFeature.None with
    {
        Verbs = static (around, config) => [RunCommand.Make(around, config), PolkitCommand.Make(around, config)],
        Summary = static config => config.Pipelines.Select(static pipeline => $"  pipeline    {pipeline.Name}: {pipeline.Launcher}"),
        Warnings = WarningsAsync,
        Checks = static installation => installation.Config.Pipelines.Count == 0 ? []
            :
            [
                DoctorCheck.Of("pipeline", "programs", () => Programs(installation)),
                new("pipeline", "launchers", cancellation => LaunchersAsync(installation.Config, cancellation)),
            ],
    };

    private static IEnumerable<Finding> Programs(Installation installation)
    {
        foreach (var pipeline in installation.Config.Pipelines)
        {
            if (pipeline.Launcher is not "process") continue;
            if (ProcessLauncher.Problem(pipeline) is { } problem)
                yield return new(Mark.Fail, $"{pipeline.Name}: {problem}", "correct [[pipelines]] command, or install the program");
            else if (Sandbox.Problem(pipeline.Command) is { } sandboxed)
                yield return new(installation.Running.IsService ? Mark.Fail : Mark.Warn, $"{pipeline.Name}: {sandboxed}",
                    "write launcher = \"systemd\", whose units have a sandbox of their own");
            else yield return Finding.Ok($"{pipeline.Name}: {pipeline.Command[0]} can be started");
        }
    }

    private static async ValueTask<IReadOnlyList<Finding>> LaunchersAsync(ProxyConfig config, CancellationToken cancellation)
    {
        List<string> problems =
        [
            .. await SystemdCheck.WarningsAsync(config.Pipelines, cancellation).ConfigureAwait(false),
            .. await DagsterCheck.WarningsAsync(config, cancellation).ConfigureAwait(false),
        ];
        return [.. from problem in problems select new Finding(Mark.Fail, problem, "docs/workflows.md says what each launcher needs")];
    }

    private static async ValueTask<IReadOnlyList<string>> WarningsAsync(ProxyConfig config, CancellationToken cancellation)
    {
        var warnings = new List<string>();
        foreach (var pipeline in config.Pipelines)
        {
            if (pipeline.Launcher is not "process") continue;
            if (ProcessLauncher.Problem(pipeline) is { } problem) warnings.Add($"[[pipelines]] {pipeline.Name}: {problem}");
            if (Sandbox.Problem(pipeline.Command) is { } sandboxed)
                warnings.Add($"[[pipelines]] {pipeline.Name}: {sandboxed}; under that unit, write launcher = \"systemd\", whose units have a sandbox of their own");
        }

        warnings.AddRange(await SystemdCheck.WarningsAsync(config.Pipelines, cancellation).ConfigureAwait(false));
        warnings.AddRange(await DagsterCheck.WarningsAsync(config, cancellation).ConfigureAwait(false));
        return warnings;
    }
}
