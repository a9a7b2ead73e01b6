using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Proxy.Backends;
using Proxy.Config;
using Proxy.Transport;

namespace Proxy.Cli;

/// <summary><c>proxy models</c>: lists the models of each backend, as the running proxy knows them or, if none is running, as the hosts report them.</summary>
internal static class ModelsCommand
{
    public static Command Make(Surroundings around, Option<string?> config)
    {
        var json = ProxyCommand.Json();
        var command = new Command(
            "models", "List models: backend, context length, loaded or not, slots, health. Asks the running proxy or, if none is running, the hosts.")
        { json };
        foreach (var verb in CliFeature.All.SelectMany(feature => feature.ModelVerbs(around))) command.Add(verb);
        command.SetAction(async (parsed, cancellation) => (int)await RunAsync(around, parsed.GetValue(config), parsed.GetValue(json), cancellation)
            .ConfigureAwait(false));
        return command;
    }

    private static async Task<ExitCode> RunAsync(Surroundings around, string? named, bool json, CancellationToken cancellation)
    {
        ModelTable table;
        try
        {
            table = await new AdminClient(around.Environment).AskAsync(HttpMethod.Get, "/models", CliJson.Default.ModelTable, cancellation)
                .ConfigureAwait(false);
        }
        catch (AdminException e) when (e.Code is ExitCode.NotRunning)
        {
            var path = ConfigFile.Find(named, around.Environment);
            var result = ConfigFile.Load(path, around.Sources);
            if (result.Config is not { } config)
            {
                around.Tell(path, result.Problems);
                return ExitCode.ConfigProblem;
            }

            around.Error.WriteLine("No proxy is running; these are the hosts' own answers.");
            var rows = await Task.WhenAll(config.Backends.Select(backend => AskHostAsync(backend, cancellation))).ConfigureAwait(false);
            var listed = config.Backends.Select(
                (backend, i) => (backend, (IReadOnlyList<string>)[.. rows[i].Where(static row => row.Health == "up").Select(static row => row.Model)]));
            table = new([.. rows.SelectMany(row => row)]) { Overruled = OverruledRow.From(OverruledPrefix.Find([.. listed])) };
        }
        catch (AdminException e)
        {
            around.Error.WriteLine(e.Message);
            return e.Code;
        }

        if (json) around.Output.WriteLine(JsonSerializer.Serialize(table, CliJson.Print.ModelTable));
        else Print(around, table);
        return table.Models.Any(row => row.Health != "down") ? ExitCode.Ok : ExitCode.Failed;
    }

    private static async Task<IReadOnlyList<ModelRow>> AskHostAsync(BackendConfig backend, CancellationToken cancellation)
    {
        try
        {
            using var host = HostHttp.Create(BackendDirectory.Target(backend), TimeProvider.System);
            var report = await HostProbe.AskAsync(backend, host, null, cancellation).ConfigureAwait(false);
            var dialects = report.Dialects.Select(DialectNames.Name).ToList();
            var named = backend.Models.Except(report.Models.Select(model => model.Name)).Select(model => new HostModel(model, null, null, null));
            return [.. report.Models.Concat(named)
                .Select(model => new ModelRow(model.Name, backend.Name, model.ContextLength, model.Loaded, backend.Slots ?? report.Slots, null, "up", dialects)
            {
                ContextLimit = model.ContextLimit,
                Capabilities = model.Traits.Capabilities is { Count: > 0 } capabilities ? capabilities : null,
                Host = report.Version is { } version ? $"{report.Kind} {version}" : report.Kind,
            })];
        }
        catch (HostProbeException e)
        {
            var dialects = (backend.Dialects ?? []).Select(DialectNames.Name).ToList();
            IReadOnlyList<string> models = backend.Models.Count > 0 ? backend.Models : [""];
            return [.. models.Select(model => new ModelRow(model, backend.Name, null, null, backend.Slots, null, "down", dialects) { Reason = e.Message })];
        }
    }

    private static void Print(Surroundings around, ModelTable table)
    {
        TextTable.Write(around.Output, ["MODEL", "BACKEND", "CONTEXT", "LOADED", "SLOTS", "HEALTH", "DIALECTS", "CAPABILITIES"],
            table.Models.Select(row => (IReadOnlyList<string>)
        [
            row.Resolved is { } resolved ? $"{row.Model} -> {resolved}" : row.Model.Length > 0 ? row.Model : "-",
            row.Backend,
            row.ContextLength?.ToString(CultureInfo.InvariantCulture)
                ?? (row.ContextLimit is { } limit ? string.Create(CultureInfo.InvariantCulture, $"<={limit}") : "-"),
            row.Loaded switch { true => "yes", false => "no", null => "-" },
            (row.InUse, row.Slots) switch
            {
                (null, null) => "-",
                (null, { } slots) => slots.ToString(CultureInfo.InvariantCulture),
                ({ } used, { } slots) => string.Create(CultureInfo.InvariantCulture, $"{used}/{slots}"),
                ({ } used, null) => string.Create(CultureInfo.InvariantCulture, $"{used}/-"),
            },
            row.Health,
            row.Dialects.Count > 0 ? string.Join(",", row.Dialects) : "-",
            row.Capabilities is { Count: > 0 } can ? string.Join(",", can) : "-",
        ]));
        foreach (var (backend, reason) in table.Models.Where(row => row.Reason is not null).Select(row => (row.Backend, row.Reason)).Distinct())
            around.Error.WriteLine($"{backend}: {reason}");
        foreach (var row in table.Overruled ?? []) around.Error.WriteLine(row.InWords());
    }
}
