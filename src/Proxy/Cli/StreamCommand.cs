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

    /// <summary>Prints the events of one answer as text. Of several choices it prints the first.</summary>
    /// <param name="output">Where the text goes.</param>
    /// <param name="isTerminal">Reasoning is printed dimmed; otherwise it is left out.</param>
    private sealed class EventText(TextWriter output, bool isTerminal)
    {
        private const string Dim = "\e[2m", Plain = "\e[0m";

        private readonly System.Text.StringBuilder call = new();
        private int? calling;
        private bool isDim, atLineStart = true, hasFinished, hasBegun;

        /// <summary>Why the answer failed; null: it is complete, or there was nothing to read.</summary>
        public string? Error
        {
            get => field ?? (hasBegun && !hasFinished ? "the answer ended before it was complete" : null);
            private set;
        }

        public void See(string line, bool prints)
        {
            using var parsed = JsonDocument.Parse(line);
            var happened = parsed.RootElement;
            hasBegun = true;
            if (happened.TryGetProperty("choice", out var choice) && choice.GetInt32() != 0) return;
            var type = Text(happened, "type");
            if (type is "finished")
            {
                hasFinished = true;
                if (happened.TryGetProperty("error", out var error)) Error = Text(error, "message") ?? "the answer failed";
            }

            if (!prints) return;
            if (type is "tool_call")
            {
                SeeCall(happened);
                return;
            }

            EndCall();
            if (type is "token") SeeToken(Text(happened, "text") ?? "", Text(happened, "kind"));
            else if (type is "finished") EndLine();
        }

        private static string? Text(JsonElement from, string name) => from.TryGetProperty(name, out var value) ? value.GetString() : null;

        private void SeeToken(string text, string? kind)
        {
            var isReasoning = kind is "reasoning";
            if (text.Length == 0 || (isReasoning && !isTerminal)) return;
            if (isReasoning != isDim) output.Write(isReasoning ? Dim : Plain + (atLineStart ? "" : "\n"));
            isDim = isReasoning;
            output.Write(text);
            atLineStart = text[^1] == '\n';
        }

        /// <summary>A call comes in pieces: its name, then its arguments.</summary>
        private void SeeCall(JsonElement piece)
        {
            var index = piece.TryGetProperty("index", out var number) ? number.GetInt32() : 0;
            if (calling != index) EndCall();
            if (calling is null) call.Append(Text(piece, "name")).Append('(');
            calling = index;
            call.Append(Text(piece, "arguments"));
        }

        private void EndCall()
        {
            if (calling is null) return;
            EndLine();
            output.WriteLine(call.Append(')').ToString());
            call.Clear();
            calling = null;
        }

        private void EndLine()
        {
            if (isDim) output.Write(Plain);
            if (!atLineStart) output.WriteLine();
            (isDim, atLineStart) = (false, true);
        }
    }
}
