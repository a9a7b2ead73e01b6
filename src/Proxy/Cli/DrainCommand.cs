using System.CommandLine;

namespace Proxy.Cli;

/// <summary><c>proxy drain</c>: does the same as SIGTERM, for users who may not or cannot send a signal.</summary>
internal static class DrainCommand
{
    public static Command Make(Surroundings around, Option<string?> config)
    {
        var command = new Command("drain", "Stop the running proxy: it takes no more calls, and running ones have [server] drain to finish.");
        AdminClient.TakesNoFile(command, config);
        command.SetAction(async (_, cancellation) => (int)await RunAsync(around, cancellation).ConfigureAwait(false));
        return command;
    }

    private static async Task<ExitCode> RunAsync(Surroundings around, CancellationToken cancellation)
    {
        try
        {
            var result = await new AdminClient(around.Environment).AskAsync(HttpMethod.Post, "/drain", CliJson.Default.DrainResult, cancellation)
                .ConfigureAwait(false);
            around.Output.WriteLine(result.Running switch
            {
                0 => "draining; no call is running",
                1 => "draining; 1 call is still running",
                var many => $"draining; {many} calls are still running",
            });
            return ExitCode.Ok;
        }
        catch (AdminException e)
        {
            around.Error.WriteLine(e.Message);
            return e.Code;
        }
    }
}
