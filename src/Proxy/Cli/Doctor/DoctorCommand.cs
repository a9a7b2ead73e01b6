using System.CommandLine;
using System.Diagnostics;
using System.Text.Json;
using Proxy.Config;

namespace Proxy.Cli.Doctor;

/// <summary>
/// <c>proxy doctor</c>: looks at everything that the proxy depends on and says what to do about what it finds. Works with and without a running proxy and
/// changes nothing. Features add their checks with <see cref="CliFeature.Checks"/>.
/// </summary>
internal static class DoctorCommand
{
    /// <summary>Width of the mark and its two spaces, and of the area and its two spaces.</summary>
    private const int MarkWidth = 6, AreaWidth = 11;

    private static readonly Dictionary<Mark, string> Colours = new()
    {
        [Mark.Ok] = "\e[32m", [Mark.Warn] = "\e[33m", [Mark.Fail] = "\e[31m",
    };

    public static Command Make(Surroundings around, Option<string?> config)
    {
        var json = ProxyCommand.Json();
        var timeout = new Option<string>("--timeout")
        {
            Description = "How long one check may take, such as 3s or 500ms.", HelpName = "DURATION", DefaultValueFactory = static _ => "10s",
        };
        timeout.Validators.Add(static result =>
        {
            if (!Duration.TryParse(result.GetValueOrDefault<string>() ?? "", out var time) || time <= TimeSpan.Zero)
                result.AddError($"--timeout takes a duration, such as {Duration.Example}, without the quotes.");
        });
        var command = new Command(
            "doctor", "Check the configuration, hosts, models, servers and this machine, and say what to do. Exits with 1 if something does not work.")
        { json, timeout };
        command.SetAction(async (parsed, cancellation) =>
        {
            _ = Duration.TryParse(parsed.GetValue(timeout) ?? "", out var patience);
            return (int)await RunAsync(around, parsed.GetValue(config), parsed.GetValue(json), patience, cancellation).ConfigureAwait(false);
        });
        return command;
    }

    private static async Task<ExitCode> RunAsync(Surroundings around, string? named, bool json, TimeSpan patience, CancellationToken cancellation)
    {
        var installation = await Installation.FindAsync(around, named, cancellation).ConfigureAwait(false);
        IEnumerable<DoctorCheck> checks =
        [
            .. ServingChecks.Of(installation), .. HostChecks.Of(installation), .. CliFeature.All.SelectMany(feature => feature.Checks(installation)),
            .. MachineChecks.Of(installation),
        ];
        var groups = await Task.WhenAll(checks.Select(check => LookAsync(check, patience, cancellation))).ConfigureAwait(false);
        var rows = groups.SelectMany(static group => group)
            .Select(row => row with { Text = installation.Strike(row.Text), Advice = row.Advice is { } advice ? installation.Strike(advice) : null }).ToList();
        var code = rows.Exists(static row => row.Mark == Name(Mark.Fail)) ? ExitCode.Failed : ExitCode.Ok;
        if (json) around.Output.WriteLine(JsonSerializer.Serialize(new DoctorReport(code is ExitCode.Ok, rows), CliJson.Print.DoctorReport));
        else Print(around, rows);
        return code;
    }

    private static async Task<IReadOnlyList<DoctorRow>> LookAsync(DoctorCheck check, TimeSpan patience, CancellationToken cancellation)
    {
        var start = Stopwatch.GetTimestamp();
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        limit.CancelAfter(patience);
        IReadOnlyList<Finding> found;
        try
        {
            found = await Task.Run(() => check.Run(limit.Token).AsTask(), limit.Token).WaitAsync(limit.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            found = [new(Mark.Fail, $"{check.Subject}: no result within {Duration.Text(patience)}", "try again with a longer --timeout")];
        }
        catch (Exception e) when (e is not OperationCanceledException) // a check that breaks must not hide the results of the others
        {
            found = [new(Mark.Fail, $"{check.Subject}: could not be checked: {e.Message}")];
        }

        var time = (long)Stopwatch.GetElapsedTime(start).TotalMilliseconds;
        return [.. found.Select(one => new DoctorRow(check.Area, Name(one.Mark), one.Text, time) { Advice = one.Advice })];
    }

    private static void Print(Surroundings around, List<DoctorRow> rows)
    {
        var isColoured = around.OutputIsTerminal && around.Environment("NO_COLOR") is null or "";
        var indent = new string(' ', MarkWidth + AreaWidth);
        foreach (var row in rows)
        {
            var mark = row.Mark.PadRight(MarkWidth);
            if (isColoured) mark = Colours[Enum.Parse<Mark>(row.Mark, ignoreCase: true)] + mark + "\e[0m";
            around.Output.WriteLine($"{mark}{row.Area.PadRight(AreaWidth)}{row.Text}");
            if (row.Advice is { } advice) around.Output.WriteLine($"{indent}-> {advice}");
        }

        int Count(Mark mark) => rows.Count(row => row.Mark == Name(mark));
        around.Output.WriteLine($"{Count(Mark.Ok)} ok, {Count(Mark.Warn)} to look at, {Count(Mark.Fail)} failed");
    }

    private static string Name(Mark mark) => mark switch { Mark.Ok => "ok", Mark.Warn => "warn", _ => "fail" };
}
