using Proxy.Backends;
using Proxy.Composition;
using Proxy.Config;
using Proxy.Telemetry;

namespace Proxy.Cli.Knowledge;

/// <summary>Whether the models that <c>[knowledge]</c> names are served by anything. Hosts are asked only if it names some.</summary>
internal static class KnowledgeModelCheck
{
    /// <summary>A host that does not answer within this time is left out.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    public static async ValueTask<IReadOnlyList<string>> WarningsAsync(ProxyConfig config, CancellationToken cancellation)
    {
        var named = config.Knowledge.Embedders.Select(static name => (Key: "embedder", Name: name)).ToList();
        if (config.Knowledge.Reranker is { } reranker) named.Add(("reranker", reranker));
        if (named.Count == 0) return [];

        using var writer = new LogWriter(Stream.Null);
        using var parts = new Parts(new LoadedConfig(null, config), writer, TimeProvider.System);
        if (named.Exists(one => parts.Directory.Table.Resolve(one.Name) is null)) await AskHostsAsync(parts, cancellation).ConfigureAwait(false);
        return [.. from one in named
                   where parts.Directory.Table.Resolve(one.Name) is null
                   select $"[knowledge] {one.Key}: nothing serves the model \"{one.Name}\"; start its host, or name a model of [[inference.models]]"];
    }

    private static async Task AskHostsAsync(Parts parts, CancellationToken cancellation)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        patience.CancelAfter(Patience);
        await Task.WhenAll(parts.Directory.Table.All.Where(static backend => !backend.IsEcho).Select(backend => parts.Probe.AskAsync(backend, patience.Token)))
            .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        cancellation.ThrowIfCancellationRequested();
    }
}
