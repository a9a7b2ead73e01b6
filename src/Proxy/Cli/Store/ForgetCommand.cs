using System.CommandLine;
using System.Text.Json;

namespace Proxy.Cli.Store;

/// <summary><c>proxy forget OWNER</c>: deletes everything that the running proxy has recorded of a key, after a question.</summary>
internal static class ForgetCommand
{
    public static Command Make(Surroundings around, Option<string?> config)
    {
        var owner = new Argument<string>("OWNER") { Description = "The key's name; \"anonymous\" is what calls without a key are recorded as." };
        var yes = new Option<bool>("--yes", "-y") { Description = "Do not ask." };
        var json = ProxyCommand.Json();
        var command = new Command("forget", "Delete all that is kept of a key: calls, usage, answers, artifacts and idempotency keys.") { owner, yes, json };
        AdminClient.TakesNoFile(command, config);
        command.SetAction(async (parsed, cancellation) => (int)await RunAsync(
            around, parsed.GetRequiredValue(owner), parsed.GetValue(yes), parsed.GetValue(json), cancellation).ConfigureAwait(false));
        return command;
    }

    private static async Task<ExitCode> RunAsync(Surroundings around, string owner, bool yes, bool json, CancellationToken cancellation)
    {
        if (!yes)
        {
            around.Error.Write($"Delete every record of {owner}? This cannot be undone. [y/N] ");
            if (around.ReadLine() is not ("y" or "Y" or "yes"))
            {
                around.Error.WriteLine("Nothing was deleted. (--yes does not ask.)");
                return ExitCode.Failed;
            }
        }

        try
        {
            var result = await new AdminClient(around.Environment)
                .AskAsync(HttpMethod.Post, "/forget?owner=" + Uri.EscapeDataString(owner), CliJson.Default.ForgetResult, cancellation).ConfigureAwait(false);
            if (result.Error is { } error) throw new AdminException(ExitCode.Failed, error);
            around.Output.WriteLine(json ? JsonSerializer.Serialize(result, CliJson.Print.ForgetResult) : $"{result.Deleted} rows of {owner} were deleted");
            return ExitCode.Ok;
        }
        catch (AdminException e)
        {
            around.Error.WriteLine(e.Message);
            return e.Code;
        }
    }
}
