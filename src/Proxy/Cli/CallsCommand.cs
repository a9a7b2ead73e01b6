using System.CommandLine;
using System.Text.Json;
using Proxy.Config;

namespace Proxy.Cli;

/// <summary><c>proxy calls</c>: lists the running calls, the longest first.</summary>
internal static class CallsCommand
{
    public static Command Make(Surroundings around, Option<string?> config)
    {
        var json = ProxyCommand.Json();
        var command = new Command("calls", "List the running calls: key, model, backend, state and time.") { json };
        AdminClient.TakesNoFile(command, config);
        command.SetAction(async (parsed, cancellation) => (int)await RunAsync(around, parsed.GetValue(json), cancellation).ConfigureAwait(false));
        return command;
    }

    private static async Task<ExitCode> RunAsync(Surroundings around, bool json, CancellationToken cancellation)
    {
        try
        {
            var table = await new AdminClient(around.Environment).AskAsync(HttpMethod.Get, "/calls", CliJson.Default.CallTable, cancellation)
                .ConfigureAwait(false);
            if (json) around.Output.WriteLine(JsonSerializer.Serialize(table, CliJson.Print.CallTable));
            else Print(around.Output, table);
            return ExitCode.Ok;
        }
        catch (AdminException e)
        {
            around.Error.WriteLine(e.Message);
            return e.Code;
        }
    }

    private static void Print(TextWriter output, CallTable table) =>
        TextTable.Write(output, ["TRACE_ID", "KEY", "SURFACE", "MODEL", "BACKEND", "STATE", "RUNNING", "SESSION"],
            table.Calls.OrderByDescending(call => call.RunningMs).Select(call => (IReadOnlyList<string>)
        [
            call.TraceId,
            call.Key ?? "-",
            call.Surface,
            call.Model ?? "-",
            call.Backend ?? "-",
            call.Answering ? call.Stream ? "streaming" : "answering" : "waiting",
            Duration.Text(TimeSpan.FromMilliseconds(call.RunningMs < 1000 ? call.RunningMs : call.RunningMs / 1000 * 1000)),
            call.Session ?? "-",
        ]));
}
