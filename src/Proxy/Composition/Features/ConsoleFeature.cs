using Proxy.Http;
using Proxy.Http.Console;
using Proxy.Knowledge;

namespace Proxy.Composition.Features;

/// <summary>The operator's console in a browser.</summary>
internal static class ConsoleFeature
{
    public static void Add(PartsBuilder parts)
    {
        var time = parts.Exchange.Time;
        var recent = new RecentCalls(time);
        var absent = parts.Knowledge is null ? KnowledgeParts.Absent(parts.Config.Knowledge) : "";
        var snapshot = new ConsoleSnapshot(parts.Directory, parts.Exchange, recent, new WorkspaceProgress(parts.Knowledge, absent, time), ProxyHost.Version)
        {
            Degraded = parts.Degraded,
            Details = parts.Details,
        };
        var console = new ConsoleEndpoints(snapshot, () => parts.Directory.Table.Config.Console.Enabled, parts.Errors, parts.Exchange);
        parts.Exchange.Ledger.Finished = recent.Add;
        parts.Endpoints.AddRange(console.Rows);
        parts.Background.Add(console.RunAsync);
    }
}
