using Proxy.Workflows;
using Proxy.Workflows.Dagster;
using Proxy.Workflows.Processes;
using Proxy.Workflows.Systemd;

namespace Proxy.Composition.Features;

/// <summary>Workflows that answer chats, and what starts their jobs.</summary>
internal static class WorkflowsFeature
{
    public static void Add(PartsBuilder parts)
    {
        var processes = new ProcessLauncher(parts.Exchange.Log, parts.Exchange.Time);
        parts.Owned.Push(processes);
        parts.Launchers.Add(processes); // one that needs NATS comes from NatsFeature
        var dagster = new DagsterLauncher(parts.Exchange.Log, parts.Exchange.Time);
        parts.Launchers.Add(dagster);
        parts.Owned.Push(dagster);
        AddSystemd(parts);
        parts.ChatRoutes.Add(new WorkflowRoute(new(() => parts.Directory.Table.Config, parts.Launchers, () => parts.Bus, () => parts.Artifacts,
            () => parts.BaseUrl, new WorkflowMetrics(parts.Exchange.Metrics), parts.Exchange.Log, parts.Exchange.Time)));
    }

    private static void AddSystemd(PartsBuilder parts)
    {
        var launcher = new SystemdLauncher(JobFiles.Find(Environment.GetEnvironmentVariable), new(), parts.Exchange.Log, parts.Exchange.Time);
        parts.Owned.Push(launcher);
        parts.Background.Add(launcher.CleanAsync);
        parts.Launchers.Add(launcher);
    }
}
