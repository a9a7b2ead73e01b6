using System.CommandLine;

namespace Proxy.Cli;

/// <summary><c>proxy reload</c>: has the running proxy read its file again.</summary>
internal static class ReloadCommand
{
    public static Command Make(Surroundings around, Option<string?> config)
    {
        var command = new Command("reload",
            "Have the running proxy read its configuration again. A bad file changes nothing; what takes effect at the next start only is named (exit 5).");
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
                    around.Error.WriteLine($"{section}: the file says something else than what runs; it takes effect at the next start");
                }

                return result.NeedsRestart is { Count: > 0 } ? ExitCode.NeedsRestart : ExitCode.Ok;
            }

            around.Tell(result.File ?? "config", [.. (result.Problems ?? []).Select(problem => problem.ToProblem())]);
            around.Error.WriteLine("The configuration that was in force stays in force.");
            return ExitCode.ConfigProblem;
        }
        catch (AdminException e)
        {
            around.Error.WriteLine(e.Message);
            return e.Code;
        }
    }
}
