using System.CommandLine;
using System.Text.Json;
using Proxy.Backends;
using Proxy.Config;
using Proxy.Transport;

namespace Proxy.Cli;

/// <summary>
/// <c>proxy check [FILE]</c>: prints every problem of a configuration, or a summary of it. Only if the file has prefixes, it asks the hosts for their models,
/// because listed names take precedence over prefixes. It tries the other servers that the file names; one that cannot be used is a note, not a problem.
/// </summary>
internal static class CheckCommand
{
    /// <summary>A host that does not answer within this time is left out.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    public static Command Make(Surroundings around, Option<string?> config)
    {
        var file = new Argument<string?>("FILE")
        {
            Description = "The file to check. If left out, the one that serve would read.", Arity = ArgumentArity.ZeroOrOne,
        };
        var json = ProxyCommand.Json();
        var command = new Command("check", "Print every problem of the configuration with its line, or a summary of it.") { file, json };
        command.SetAction(async (parsed, cancellation) => (int)await RunAsync(
            around, parsed.GetValue(file) ?? parsed.GetValue(config), parsed.GetValue(json), cancellation).ConfigureAwait(false));
        return command;
    }

    private static async Task<ExitCode> RunAsync(Surroundings around, string? named, bool json, CancellationToken cancellation)
    {
        var path = ConfigFile.Find(named, around.Environment);
        var result = ConfigFile.Load(path, around.Sources);
        var overruled = result.Config is { } checkedConfig ? await OverruledAsync(checkedConfig, cancellation).ConfigureAwait(false) : [];
        var warnings = new List<string>();
        if (result.Config is { } used)
        {
            foreach (var feature in CliFeature.All) warnings.AddRange(await feature.Warnings(used, cancellation).ConfigureAwait(false));
            foreach (var (name, reason) in UnusedVariables.Find(used, around.Environment)) warnings.Add($"{name} is set but not used: {reason}");
        }

        if (json)
            around.Output.WriteLine(JsonSerializer.Serialize(
                new CheckResult(result.Config is not null, path, [.. result.Problems.Select(ProblemRow.From)])
                {
                    Overruled = OverruledRow.From(overruled), Warnings = warnings.Count > 0 ? warnings : null,
                },
                CliJson.Print.CheckResult));
        else if (result.Config is { } config)
            Summarise(around.Output, path, config, overruled, warnings);
        else
            around.Tell(path, result.Problems);
        return result.Config is null ? ExitCode.ConfigProblem : ExitCode.Ok;
    }

    private static void Summarise(TextWriter output, string? path, ProxyConfig config, IReadOnlyList<OverruledPrefix> overruled, IReadOnlyList<string> warnings)
    {
        output.WriteLine($"{path ?? "no file, the defaults"}: ok");
        output.WriteLine($"  listens on  {string.Join(", ", config.Server.Listen)}{(config.Server.Tls is null ? "" : " (TLS)")}");
        foreach (var backend in config.Backends)
            output.WriteLine($"  backend     {backend.Name}: {backend.Url} ({Dialects(backend)}){(backend.Name == config.DefaultBackend ? ", default" : "")}");
        foreach (var line in CliFeature.All.SelectMany(feature => feature.Summary(config))) output.WriteLine(line);
        if (config.Aliases.Count > 0) output.WriteLine($"  aliases     {string.Join(", ", config.Aliases.Select(alias => $"{alias.Key} = {alias.Value}"))}");
        output.WriteLine("  keys        " + (config.Auth.Keys.Count > 0 ? string.Join(", ", config.Auth.Keys.Select(key => key.Name))
            : config.Auth.AllowAnonymous ? "none: serves everyone" : "none: serves this machine only"));
        foreach (var one in overruled) output.WriteLine($"  note        {one}");
        foreach (var one in warnings) output.WriteLine($"  warning     {one}");
    }

    private static async Task<IReadOnlyList<OverruledPrefix>> OverruledAsync(ProxyConfig config, CancellationToken cancellation)
    {
        if (config.Backends.All(static backend => backend.Prefixes.Count == 0)) return [];
        var listed = await Task.WhenAll(config.Backends.Select(backend => ListedAsync(backend, cancellation))).ConfigureAwait(false);
        return OverruledPrefix.Find([.. config.Backends.Zip(listed)]);
    }

    private static async Task<IReadOnlyList<string>> ListedAsync(BackendConfig backend, CancellationToken cancellation)
    {
        if (!backend.Learn || backend.Url == BackendConfig.BuiltinEcho) return [];
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        patience.CancelAfter(Patience);
        try
        {
            using var host = HostHttp.Create(BackendDirectory.Target(backend), TimeProvider.System);
            return [.. (await HostProbe.AskAsync(backend, host, null, patience.Token).ConfigureAwait(false)).Models.Select(static model => model.Name)];
        }
        catch (Exception e) when (e is HostProbeException or OperationCanceledException && !cancellation.IsCancellationRequested)
        {
            return [];
        }
    }

    private static string Dialects(BackendConfig backend) =>
        backend.Url == BackendConfig.BuiltinEcho ? "built in, in every dialect"
        : backend.Dialects is { } dialects ? string.Join(", ", dialects.Select(DialectNames.Name))
        : "dialects as the host reports them";
}
