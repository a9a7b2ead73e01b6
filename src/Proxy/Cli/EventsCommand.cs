using System.CommandLine;
using System.Globalization;
using System.Text;
using System.Text.Json;
using Proxy.Config;
using Proxy.Nats;

namespace Proxy.Cli;

/// <summary>
/// <c>proxy events TRACE_ID</c>: prints what is published to NATS about a call, as it comes, and at its end the calls that were made for it as a tree: those
/// that sent its trace id as their correlation id, and those made for these. It needs no running proxy.
/// </summary>
internal static class EventsCommand
{
    /// <summary>How many calls of others are remembered, in case they belong to the tree.</summary>
    private const int MostCalls = 10_000;

    /// <summary>How long the rest may take after the call has ended, and after the event that ends it.</summary>
    private static readonly TimeSpan AfterDone = TimeSpan.FromSeconds(2), AfterFinished = TimeSpan.FromSeconds(5);

    public static Command Make(Surroundings around, Option<string?> config)
    {
        var id = new Argument<string>("TRACE_ID") { Description = "The x-trace-id of the call." };
        id.Validators.Add(static result =>
        {
            if (result.Tokens is [var given, ..] && TraceReader.Began(given.Value) is null)
                result.AddError($"'{given.Value}' is not a trace id: it has 26 letters and digits");
        });
        var json = new Option<bool>("--json") { Description = "Print the events, and at the end the calls, one JSON object on each line." };
        var command = new Command("events", "Print what NATS has of a call as it comes: its events, then the calls that were made for it.") { id, json };
        command.SetAction(async (parsed, cancellation) =>
        {
            var path = ConfigFile.Find(parsed.GetValue(config), around.Environment);
            var result = ConfigFile.Load(path, around.Sources);
            if (result.Config is not { } used)
            {
                around.Tell(path, result.Problems);
                return (int)ExitCode.ConfigProblem;
            }

            if (used.Nats is { } nats)
                return (int)await FollowAsync(around, nats, parsed.GetRequiredValue(id), parsed.GetValue(json), cancellation).ConfigureAwait(false);
            around.Error.WriteLine("events are published to NATS, and no server is configured; add [nats] with its url, or set NATS_URL");
            return (int)ExitCode.Failed;
        });
        return command;
    }

    private static async Task<ExitCode> FollowAsync(Surroundings around, NatsConfig nats, string id, bool json, CancellationToken cancellation)
    {
        using var end = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var calls = new CallTree(id);
        var (isDone, hasFinished, hasFailed) = (false, false, false);
        try
        {
            var since = TraceReader.Began(id)!.Value.AddMinutes(-1); // the clocks may differ
            await foreach (var (isCall, data) in TraceReader.ReadAsync(nats, id, since, around.Error.WriteLine, end.Token).ConfigureAwait(false))
            {
                if (isCall)
                {
                    isDone |= calls.Add(data);
                    if (isDone) end.CancelAfter(AfterDone);
                }
                else
                {
                    foreach (var line in Encoding.UTF8.GetString(data).Split('\n', StringSplitOptions.RemoveEmptyEntries))
                    {
                        var wasRunning = !hasFinished;
                        var text = Shown(line, ref hasFinished, ref hasFailed);
                        around.Output.WriteLine(json ? line : text);
                        if (hasFinished && wasRunning && !isDone) end.CancelAfter(AfterFinished);
                    }

                    around.Output.Flush();
                }
            }
        }
        catch (OperationCanceledException) when (end.IsCancellationRequested)
        {
            cancellation.ThrowIfCancellationRequested();
        }
        catch (Exception e) when (e is not OperationCanceledException) // whatever keeps the servers from being used
        {
            around.Error.WriteLine($"{NatsServers.Shown(nats)} cannot be used: {(e.InnerException ?? e).Message}");
            return ExitCode.Failed;
        }

        calls.Write(around.Output, json);
        return hasFailed ? ExitCode.Failed : ExitCode.Ok;
    }

    /// <summary>An event in a line: its number, the task and model that it comes from, what it is, and the rest as JSON.</summary>
    private static string Shown(string line, ref bool hasFinished, ref bool hasFailed)
    {
        try
        {
            var happened = JsonElement.Parse(line);
            var type = Raw(happened, "type").Trim('"');
            hasFinished |= type is "finished";
            hasFailed |= type is "finished" && happened.TryGetProperty("error", out _);
            var rest = new StringBuilder();
            foreach (var member in happened.EnumerateObject())
            {
                if (member.Name is "type" or "seq" or "task" or "model" or "attempt") continue;
                rest.Append(' ');
                if (member.Name is not ("text" or "name" or "arguments" or "reason")) rest.Append(member.Name).Append('=');
                rest.Append(member.Value.GetRawText());
            }

            var origin = string.Join(' ', new[] { Raw(happened, "task"), Raw(happened, "model") }.Where(static name => name.Length > 0));
            return $"{Raw(happened, "seq"),5}  {(origin.Length > 0 ? $"[{origin.Replace("\"", "", StringComparison.Ordinal)}] " : "")}{type}{rest}";
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            return "       not an event: " + JsonEncodedText.Encode(line);
        }
    }

    private static string Raw(JsonElement of, string name) => of.TryGetProperty(name, out var value) ? value.GetRawText() : "";

    /// <summary>The messages of calls that have ended, by the call that they were made for.</summary>
    private sealed class CallTree(string root)
    {
        private readonly Dictionary<string, List<JsonElement>> made = [];
        private JsonElement? top;
        private int count;

        /// <summary>True: it is the call itself.</summary>
        public bool Add(byte[] message)
        {
            var call = JsonElement.Parse(message);
            var id = Text(call, "trace_id");
            if (id == root) top = call;
            else if (Text(call, "parent") is { } parent && count++ < MostCalls)
            {
                if (!made.TryGetValue(parent, out var others)) made[parent] = others = [];
                others.Add(call);
            }

            return id == root;
        }

        public void Write(TextWriter output, bool json)
        {
            if (top is null && !made.ContainsKey(root)) return;
            if (!json) output.WriteLine();
            if (top is { } call) output.WriteLine(json ? call.GetRawText() : Line(call));
            else if (!json) output.WriteLine(root);
            Write(output, root, "", json);
        }

        private void Write(TextWriter output, string parent, string indent, bool json)
        {
            if (!made.Remove(parent, out var calls)) return; // removed, so that a circle of ids ends
            for (var i = 0; i < calls.Count; i++)
            {
                var isLast = i == calls.Count - 1;
                output.WriteLine(json ? calls[i].GetRawText() : $"{indent}{(isLast ? "└─ " : "├─ ")}{Line(calls[i])}");
                if (Text(calls[i], "trace_id") is { } id) Write(output, id, indent + (isLast ? "   " : "│  "), json);
            }
        }

        private static string Line(JsonElement call)
        {
            var line = new StringBuilder(Text(call, "trace_id"));
            line.Append("  ").Append(Text(call, "model"));
            if (Text(call, "winner") is { } winner && winner != Text(call, "model")) line.Append(" -> ").Append(winner);
            line.Append("  ").Append(Text(call, "error") ?? Text(call, "outcome"));
            if (call.TryGetProperty("duration_ms", out var took)) line.Append(CultureInfo.InvariantCulture, $"  {took.GetDouble() / 1000:0.00} s");
            if (call.TryGetProperty("usage", out var usage))
                line.Append(CultureInfo.InvariantCulture, $"  {Raw(usage, "input_tokens")} tokens in, {Raw(usage, "output_tokens")} out");
            return line.ToString();
        }

        private static string? Text(JsonElement of, string name) => of.TryGetProperty(name, out var value) ? value.GetString() : null;
    }
}
