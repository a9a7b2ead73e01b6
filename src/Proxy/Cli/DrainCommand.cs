using System.CommandLine;

namespace Proxy.Cli;

/// <summary><c>proxy drain</c>: what SIGTERM does, for whoever may not or cannot send it.</summary>
internal static class DrainCommand
{
    public static Command Make(Surroundings around, Option<string?> config)
    {
        var command = new Command("drain", "Have the running proxy take no more calls, let those that run end within [server] drain, and stop.");
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
            around.Output.WriteLine(
                result.Running switch { 0 => "draining; no call runs", 1 => "draining; 1 call runs on", var many => $"draining; {many} calls run on" });
            return ExitCode.Ok;
        }
        catch (AdminException e)
        {
            around.Error.WriteLine(e.Message);
            return e.Code;
        }
    }
}
