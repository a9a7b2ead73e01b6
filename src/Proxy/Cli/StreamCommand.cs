using System.CommandLine;
using System.Text.Json;

namespace Proxy.Cli;

/// <summary>
/// <c>proxy stream TRACE_ID</c>: prints an answer that can be resumed, and follows it while it is generated. Stopping the command leaves the answer running;
/// only <c>--cancel</c> ends it.
/// </summary>
internal static class StreamCommand
{
    public static Command Make(Surroundings around, Option<string?> config)
    {
        var id = new Argument<string>("TRACE_ID") { Description = "The x-trace-id of the call; proxy streams lists them." };
        var after = new Option<string?>("--after") { Description = "Leave out the first N events (the lines of --json).", HelpName = "N" };
        var cancel = new Option<bool>("--cancel") { Description = "Cancel the call, and forget its answer." };
        var json = new Option<bool>("--json") { Description = "Print the events, one JSON object on each line, instead of the text." };
        var command = new Command("stream", "Print an answer that can be resumed, as it comes, or cancel it.") { id, after, cancel, json };
        AdminClient.TakesNoFile(command, config);
        command.SetAction(async (parsed, cancellation) =>
        {
            var path = $"/streams/{Uri.EscapeDataString(parsed.GetRequiredValue(id))}";
            var place = parsed.GetValue(after) is { } number ? $"?after={Uri.EscapeDataString(number)}" : "";
            try
            {
                return (int)await (parsed.GetValue(cancel)
                    ? CancelAsync(around, path, parsed.GetValue(json), cancellation)
                    : FollowAsync(around, path + place, parsed.GetValue(json), cancellation)).ConfigureAwait(false);
            }
            catch (AdminException e)
            {
                await around.Error.WriteLineAsync(e.Message).ConfigureAwait(false);
                return (int)e.Code;
            }
        });
        return command;
    }

    private static async Task<ExitCode> CancelAsync(Surroundings around, string path, bool json, CancellationToken cancellation)
    {
        var result = await new AdminClient(around.Environment).AskAsync(HttpMethod.Delete, path, CliJson.Default.StreamDeleted, cancellation)
            .ConfigureAwait(false);
        if (result.Error is { } error) throw new AdminException(ExitCode.Failed, error.Message);
        if (json) around.Output.WriteLine(JsonSerializer.Serialize(result, CliJson.Print.StreamDeleted));
        else around.Output.WriteLine(result.Cancelled ? "cancelled" : "forgotten; it had already ended");
        return ExitCode.Ok;
    }

    private static async Task<ExitCode> FollowAsync(Surroundings around, string path, bool json, CancellationToken cancellation)
    {
        var text = new EventText(around.Output, around.OutputIsTerminal);
        await new AdminClient(around.Environment).FollowAsync(path, line =>
        {
            if (json) around.Output.WriteLine(line);
            text.See(line, prints: !json);
            around.Output.Flush();
        }, cancellation).ConfigureAwait(false);
        if (text.Error is not { } error) return ExitCode.Ok;
        await around.Error.WriteLineAsync(error).ConfigureAwait(false);
        return ExitCode.Failed;
    }
}
