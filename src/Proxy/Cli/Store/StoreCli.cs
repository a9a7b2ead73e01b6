using Proxy.Config;
using Proxy.Store;

namespace Proxy.Cli.Store;

/// <summary>The records: usage is read from them, an owner is deleted from them, and <c>proxy check</c> says whether they can be kept.</summary>
internal static class StoreCli
{
    public static CliFeature Feature => CliFeature.None with
    {
        Verbs = static (around, config) => [UsageCommand.Make(around, config), ForgetCommand.Make(around, config)],
        Summary = static config => config.Store is { } store ? [$"  records     {RecordStores.Place(store)}"] : [],
        Warnings = WarningsAsync,
    };

    private static async ValueTask<IReadOnlyList<string>> WarningsAsync(ProxyConfig config, CancellationToken cancellation)
    {
        if (config.Store is not { } settings) return [];
        await using var store = RecordStores.Create(settings, TimeProvider.System);
        return [.. from problem in await store.CheckAsync(cancellation).ConfigureAwait(false) select $"[store] {problem}"];
    }
}
