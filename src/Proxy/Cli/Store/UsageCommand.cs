using System.CommandLine;
using System.Globalization;
using System.Text.Json;

namespace Proxy.Cli.Store;

/// <summary><c>proxy usage</c>: requests and tokens by day, owner and model, from the records of the running proxy.</summary>
internal static class UsageCommand
{
    public static Command Make(Surroundings around, Option<string?> config)
    {
        var from = Day("--from", "The first day. If left out, 30 days are shown.");
        var to = Day("--to", "The last day. If left out, today.");
        var owner = new Option<string?>("--owner") { Description = "Only this key's usage; \"anonymous\" is that of calls without a key.", HelpName = "NAME" };
        var json = ProxyCommand.Json();
        var command = new Command("usage", "List requests and tokens by day, key and model.") { from, to, owner, json };
        AdminClient.TakesNoFile(command, config);
        command.SetAction(async (parsed, cancellation) => (int)await RunAsync(
            around, Query(("from", parsed.GetValue(from)), ("to", parsed.GetValue(to)), ("owner", parsed.GetValue(owner))), parsed.GetValue(json), cancellation)
            .ConfigureAwait(false));
        return command;
    }

    private static async Task<ExitCode> RunAsync(Surroundings around, string query, bool json, CancellationToken cancellation)
    {
        try
        {
            var table = await new AdminClient(around.Environment).AskAsync(HttpMethod.Get, "/usage" + query, CliJson.Default.UsageTable, cancellation)
                .ConfigureAwait(false);
            if (table.Error is { } error) throw new AdminException(ExitCode.Failed, error);
            if (json) around.Output.WriteLine(JsonSerializer.Serialize(table, CliJson.Print.UsageTable));
            else Print(around.Output, table);
            return ExitCode.Ok;
        }
        catch (AdminException e)
        {
            around.Error.WriteLine(e.Message);
            return e.Code;
        }
    }

    private static void Print(TextWriter output, UsageTable table)
    {
        var total = table.Total!;
        TextTable.Write(output, ["DAY", "KEY", "MODEL", "REQUESTS", "TOKENS_IN", "TOKENS_OUT"],
        [
            .. table.Usage!.Select(line => (IReadOnlyList<string>)
                [line.Day, line.Owner, line.Model, Number(line.Requests), Number(line.InputTokens), Number(line.OutputTokens)]),
            ["total", "", "", Number(total.Requests), Number(total.InputTokens), Number(total.OutputTokens)],
        ]);
    }

    private static string Number(long value) => value.ToString(CultureInfo.InvariantCulture);

    private static string Query(params (string Name, string? Value)[] values) =>
        string.Concat(values.Where(one => one.Value is not null).Select((one, i) => $"{(i == 0 ? '?' : '&')}{one.Name}={Uri.EscapeDataString(one.Value!)}"));

    private static Option<string?> Day(string name, string description)
    {
        var option = new Option<string?>(name) { Description = description, HelpName = "YYYY-MM-DD" };
        option.Validators.Add(result =>
        {
            if (!DateOnly.TryParseExact(result.GetValueOrDefault<string?>(), "yyyy-MM-dd", CultureInfo.InvariantCulture, DateTimeStyles.None, out _))
                result.AddError($"{name} takes a day, such as 2026-12-31.");
        });
        return option;
    }
}
