using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Proxy.Config;

namespace Proxy.Cli;

/// <summary><c>proxy streams</c>: lists the answers that clients can resume, the newest first.</summary>
internal static class StreamsCommand
{
    public static Command Make(Surroundings around, Option<string?> config)
    {
        var json = ProxyCommand.Json();
        var command = new Command("streams", "List the answers that clients can resume: owner, model, state, size and age.") { json };
        AdminClient.TakesNoFile(command, config);
        command.SetAction(async (parsed, cancellation) => (int)await RunAsync(around, parsed.GetValue(json), cancellation).ConfigureAwait(false));
        return command;
    }

    private static async Task<ExitCode> RunAsync(Surroundings around, bool json, CancellationToken cancellation)
    {
        try
        {
            var table = await new AdminClient(around.Environment).AskAsync(HttpMethod.Get, "/streams", CliJson.Default.StreamTable, cancellation)
                .ConfigureAwait(false);
            if (json) around.Output.WriteLine(JsonSerializer.Serialize(table, CliJson.Print.StreamTable));
            else Print(around.Output, table);
            return ExitCode.Ok;
        }
        catch (AdminException e)
        {
            around.Error.WriteLine(e.Message);
            return e.Code;
        }
    }

    private static void Print(TextWriter output, StreamTable table) =>
        TextTable.Write(output, ["TRACE_ID", "OWNER", "SURFACE", "MODEL", "STATE", "BYTES", "AGE"],
            table.Streams.Select(stream => (IReadOnlyList<string>)
        [
            stream.Id,
            stream.Owner,
            stream.Surface,
            stream.Model,
            stream.Status,
            stream.Bytes.ToString(CultureInfo.InvariantCulture),
            Duration.Text(TimeSpan.FromMilliseconds(stream.AgeMs < 1000 ? stream.AgeMs : stream.AgeMs / 1000 * 1000)),
        ]));
}
