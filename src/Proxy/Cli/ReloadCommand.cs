using System.CommandLine;

namespace Proxy.Cli;

/// <summary><c>proxy reload</c>: makes the running proxy read its file again.</summary>
internal static class ReloadCommand
{
    public static Command Make(Surroundings around, Option<string?> config)
    {
        var command = new Command("reload",
            "Make the running proxy read its configuration again. A bad file changes nothing. Changed settings that need a restart are named (exit 5).");
        AdminClient.TakesNoFile(command, config);
        command.SetAction(async (_, cancellation) => (int)await RunAsync(around, cancellation).ConfigureAwait(false));
        return command;
    }

    private static async Task<ExitCode> RunAsync(Surroundings around, CancellationToken cancellation)
    {
        try
        {
            var result = await new AdminClient(around.Environment).AskAsync(HttpMethod.Post, "/reload", CliJson.Default.ReloadResult, cancellation)
                .ConfigureAwait(false);
            if (result.Ok)
            {
                around.Output.WriteLine("reloaded");
                foreach (var section in result.NeedsRestart ?? [])
                {
                    around.Error.WriteLine($"{section}: the file differs from the setting in use; it takes effect at the next start");
                }

                return result.NeedsRestart is { Count: > 0 } ? ExitCode.NeedsRestart : ExitCode.Ok;
            }

            around.Tell(result.File ?? "config", [.. (result.Problems ?? []).Select(problem => problem.ToProblem())]);
            around.Error.WriteLine("The old configuration stays in use.");
            return ExitCode.ConfigProblem;
        }
        catch (AdminException e)
        {
            around.Error.WriteLine(e.Message);
            return e.Code;
        }
    }
}
