using Proxy.Cli.Doctor;
using Proxy.Config;
using Proxy.Knowledge.Analysis;
using Proxy.Store;

namespace Proxy.Cli.Knowledge;

/// <summary>Workspaces of documents: filled, searched, listed and copied, and what <c>proxy check</c> says of them.</summary>
internal static class KnowledgeCli
{
    public static CliFeature Feature => CliFeature.None with
    {
        Verbs = static (around, config) =>
        [
            IngestCommand.Make(around, config), SearchCommand.Make(around, config), WorkspacesCommand.Make(around, config), BackupCommand.Make(around, config),
        ],
        Summary = Summary,
        Warnings = WarningsAsync,
        Checks = static installation => installation.Config.Knowledge.Enabled && KnowledgeStores.Place(installation.Config) is { } place
            ? [new DoctorCheck("documents", place, cancellation => LookAsync(installation.Config, place, cancellation))] : [],
    };

    private static async ValueTask<IReadOnlyList<Finding>> LookAsync(ProxyConfig config, string place, CancellationToken cancellation)
    {
        var problems = await WarningsAsync(config, cancellation).ConfigureAwait(false);
        return problems.Count == 0 ? [Finding.Ok($"{place}: can be used")]
            : [.. from problem in problems select new Finding(Mark.Warn, problem, "until then workspaces of documents do not work; chats do")];
    }

    private static IEnumerable<string> Summary(ProxyConfig config)
    {
        if (!config.Knowledge.Enabled || KnowledgeStores.Place(config) is not { } place) yield break;
        var models = config.Knowledge.Embedders.Count > 0 ? $", embedded with {string.Join(" and ", config.Knowledge.Embedders)}" : "";
        var reranker = config.Knowledge.Reranker is { } name ? $", reranked with {name}" : "";
        yield return $"  documents   {place}{models}{reranker}";
    }

    private static async ValueTask<IReadOnlyList<string>> WarningsAsync(ProxyConfig config, CancellationToken cancellation)
    {
        if (!config.Knowledge.Enabled) return [];
        var warnings = new List<string>();
        if (KnowledgeStores.Create(config, new TextAnalyzer(), TimeProvider.System) is { } store)
        {
            await using var closed = store.ConfigureAwait(false);
            warnings.AddRange(from problem in await store.CheckAsync(cancellation).ConfigureAwait(false) select $"[knowledge] {problem}");
        }

        warnings.AddRange(await KnowledgeModelCheck.WarningsAsync(config, cancellation).ConfigureAwait(false));
        return warnings;
    }
}
