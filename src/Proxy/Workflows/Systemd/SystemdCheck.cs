using Proxy.Config;
using Tmds.DBus.Protocol;

namespace Proxy.Workflows.Systemd;

/// <summary>Looks whether this machine can run the units of the pipelines. Starts none.</summary>
internal static class SystemdCheck
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    /// <summary>A trace id that no call has.</summary>
    private const string NoTrace = "00000000000000000000000000";

    /// <summary>What an operator should know before the start; empty: nothing.</summary>
    public static async Task<IReadOnlyList<string>> WarningsAsync(IReadOnlyList<PipelineConfig> pipelines, CancellationToken cancellation)
    {
        var warnings = new List<string>();
        if (!pipelines.Any(static pipeline => pipeline is { Launcher: "systemd", Unit: not null })) return warnings;
        using var bus = new SystemdBus();
        if (bus.Absent is { } absent) return [$"pipelines: {absent}"];
        try
        {
            var link = await bus.LinkAsync().WaitAsync(Patience, cancellation).ConfigureAwait(false);
            foreach (var pipeline in pipelines)
            {
                if (pipeline is not { Launcher: "systemd", Unit: { } unit }) continue;
                var state = new UnitState();
                var path = await link.PathAsync(unit.Replace(PipelineConfig.TraceIdPlace, NoTrace, StringComparison.Ordinal)).ConfigureAwait(false);
                await link.ReadAsync(path, state).WaitAsync(Patience, cancellation).ConfigureAwait(false);
                var template = unit.Replace(PipelineConfig.TraceIdPlace, "", StringComparison.Ordinal);
                if ((state.Unfit(template) ?? Deaf(template, state)) is { } reason) warnings.Add($"pipeline {pipeline.Name}: {reason}");
            }

            if (PolkitRule.Fault(pipelines) is { } fault) warnings.Add($"pipelines: {fault}");
        }
        catch (Exception problem) when (problem is DBusExceptionBase or TimeoutException)
        {
            warnings.Add($"pipelines: {SystemdBus.Explain("of a pipeline", problem)}");
        }

        return warnings;
    }

    private static string? Deaf(string template, UnitState state) =>
        state.Input is "file" ? null : $"the unit {template} does not get its job: write StandardInput=file:{JobFiles.Usual}/%i.json in its [Service]";
}
