using System.Diagnostics;
using System.Globalization;
using Proxy.Cli.Doctor;
using Proxy.Config;
using Proxy.Store;
using Proxy.Store.Postgres;

namespace Proxy.Cli.Store;

/// <summary>The records: usage is read from them, an owner is deleted from them, and <c>proxy check</c> says whether they can be kept.</summary>
internal static class StoreCli
{
    public static CliFeature Feature => CliFeature.None with
    {
        Verbs = static (around, config) => [UsageCommand.Make(around, config), ForgetCommand.Make(around, config)],
        Summary = static config => config.Store is { } store ? [$"  records     {RecordStores.Place(store)}"] : [],
        Warnings = WarningsAsync,
        Checks = static installation => installation.Config.Store is { } store
            ? [new DoctorCheck("records", RecordStores.Place(store), cancellation => LookAsync(store, cancellation))] : [],
    };

    private static async ValueTask<IReadOnlyList<Finding>> LookAsync(StoreConfig settings, CancellationToken cancellation)
    {
        var start = Stopwatch.GetTimestamp();
        await using var store = RecordStores.Create(settings, TimeProvider.System);
        var problems = await store.CheckAsync(cancellation).ConfigureAwait(false);
        var advice = settings.Kind is "sqlite" ? "free the file or its folder for the user of the proxy; until then calls are served without a record"
            : "start PostgreSQL, or correct [store] url, or run the SQL; until then records wait on this machine's disk";
        if (problems.Count > 0)
            return [.. from problem in problems select problem.StartsWith(PostgresCheck.NoVector, StringComparison.Ordinal)
                ? new Finding(Mark.Warn, problem) : new Finding(Mark.Fail, problem, advice)];
        return [Finding.Ok(string.Create(CultureInfo.InvariantCulture,
            $"{RecordStores.Place(settings)}: can be written, {Stopwatch.GetElapsedTime(start).TotalMilliseconds:0} ms"))];
    }

    private static async ValueTask<IReadOnlyList<string>> WarningsAsync(ProxyConfig config, CancellationToken cancellation)
    {
        if (config.Store is not { } settings) return [];
        await using var store = RecordStores.Create(settings, TimeProvider.System);
        return [.. from problem in await store.CheckAsync(cancellation).ConfigureAwait(false) select $"[store] {problem}"];
    }
}
