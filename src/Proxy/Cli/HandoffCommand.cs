using System.CommandLine;
using System.Globalization;
using System.Text.Json;

namespace Proxy.Cli;

/// <summary><c>proxy handoff</c>: has a new process of the program take over from the running one, which finishes its calls.</summary>
internal static class HandoffCommand
{
    public static Command Make(Surroundings around, Option<string?> config)
    {
        var binary = new Option<string?>("--binary")
        {
            Description = "The program to start, instead of the file by which the running proxy was started.", HelpName = "PATH",
        };
        var patience = new Option<double>("--patience")
        {
            Description = "The longest time that the new process may take until it is ready, in seconds.", HelpName = "SECONDS",
            DefaultValueFactory = static _ => 60,
        };
        var command = new Command("handoff", "Start the program anew, after an upgrade for instance, and let the new process take over. The old one finishes "
            + "its calls. If the new one does not become ready, the old one serves on (exit 1).") { binary, patience };
        AdminClient.TakesNoFile(command, config);
        command.SetAction(async (parsed, cancellation) => (int)await RunAsync(around, parsed.GetValue(binary), parsed.GetValue(patience), cancellation)
            .ConfigureAwait(false));
        return command;
    }

    private static async Task<ExitCode> RunAsync(Surroundings around, string? binary, double patience, CancellationToken cancellation)
    {
        HandoffLine? last = null;
        try
        {
            var query = string.Create(CultureInfo.InvariantCulture, $"/handoff?patience={patience}");
            if (binary is not null) query += $"&binary={Uri.EscapeDataString(Path.GetFullPath(binary))}";
            await new AdminClient(around.Environment).FollowAsync(HttpMethod.Post, query, line =>
            {
                last = JsonSerializer.Deserialize(line, CliJson.Default.HandoffLine);
                if (last?.Event is "started") around.Output.WriteLine($"started process {last.Pid}");
            }, cancellation).ConfigureAwait(false);
        }
        catch (AdminException e)
        {
            around.Error.WriteLine(e.Message);
            return e.Code;
        }

        if (last is { Event: "serving" })
        {
            around.Output.WriteLine(last.Calls switch
            {
                0 => $"process {last.Pid} serves now; the old one has no call left",
                1 => $"process {last.Pid} serves now; the old one finishes 1 call",
                var many => $"process {last.Pid} serves now; the old one finishes {many} calls",
            });
            return ExitCode.Ok;
        }

        around.Error.WriteLine(last is { Event: "refused" }
            ? $"refused: {last.Reason}"
            : $"the handoff failed, the old process serves on: {last?.Reason ?? "it gave no answer"}");
        return ExitCode.Failed;
    }
}
