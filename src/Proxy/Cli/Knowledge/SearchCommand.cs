using System.CommandLine;
using System.Globalization;
using System.Text.Json;

namespace Proxy.Cli.Knowledge;

/// <summary><c>proxy search WORKSPACE QUERY</c>: the passages that answer a question.</summary>
internal static class SearchCommand
{
    private const int Usual = 5, Most = 50;

    /// <summary>The candidates of a trace that are printed as text.</summary>
    private const int Shown = 20;

    public static Command Make(Surroundings around, Option<string?> config)
    {
        var workspace = IngestCommand.Workspace("The workspace's name or id, or several with commas between them.");
        var query = new Argument<string[]>("QUERY") { Description = "A question or words.", Arity = ArgumentArity.OneOrMore };
        var top = new Option<int>("--top") { Description = "How many passages.", HelpName = "N", DefaultValueFactory = static _ => Usual };
        top.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int>() is < 1 or > Most) result.AddError($"--top takes a number from 1 to {Most}.");
        });
        var filter = new Option<string?>("--filter")
        {
            Description = "Only files whose attributes match, such as {\"type\":\"eq\",\"key\":\"lang\",\"value\":\"en\"}.", HelpName = "JSON",
        };
        filter.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<string?>() is { } text && Json(text) is null) result.AddError("--filter takes a JSON object.");
        });
        var rerank = new Option<string?>("--rerank") { Description = "on or off; if left out, on if a reranker is configured.", HelpName = "on|off" };
        rerank.AcceptOnlyFromAmong("on", "off");
        var trace = new Option<bool>("--trace") { Description = "Print the time of each stage, and the ranks and scores of all candidates." };
        var (url, json) = (Libraries.Url(), ProxyCommand.Json());
        var command = new Command("search", "Print the passages of a workspace that answer a question. Exit 1 if there is none.")
        {
            workspace, query, top, filter, rerank, trace, url, json,
        };
        command.SetAction(async (parsed, cancellation) =>
        {
            var asked = new SearchQuery(string.Join(' ', parsed.GetRequiredValue(query)), parsed.GetValue(top), parsed.GetValue(trace))
            {
                Filter = parsed.GetValue(filter) is { } text ? Json(text) : null,
                Rerank = parsed.GetValue(rerank) switch { "on" => true, "off" => false, _ => null },
            };
            var names = parsed.GetRequiredValue(workspace).Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
            return (int)await Libraries.UseAsync(around, parsed.GetValue(url), parsed.GetValue(config), works: false, async library =>
            {
                var answer = await library.SearchAsync(names, asked, cancellation).ConfigureAwait(false);
                if (parsed.GetValue(json)) around.Output.WriteLine(JsonSerializer.Serialize(answer, KnowledgeRows.Print.SearchAnswer));
                else Print(around, answer, asked.Text, names.Length > 1);
                return answer.Hits.Count > 0 ? ExitCode.Ok : ExitCode.Failed;
            }, cancellation).ConfigureAwait(false);
        });
        return command;
    }

    private static JsonElement? Json(string text)
    {
        try
        {
            return JsonElement.Parse(text) is { ValueKind: JsonValueKind.Object } read ? read : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private static void Print(Surroundings around, SearchAnswer answer, string query, bool severalWorkspaces)
    {
        var (bold, plain) = around.OutputIsTerminal ? ("\e[1m", "\e[0m") : ("", "");
        var number = 0;
        foreach (var hit in answer.Hits)
        {
            var title = SafeText.Of(hit.File) + (hit.Heading is { Length: > 0 } heading ? " › " + SafeText.Of(heading) : "");
            if (severalWorkspaces) title = $"{SafeText.Of(hit.Workspace ?? "")}: {title}";
            var page = hit.Page is { } at ? string.Create(CultureInfo.InvariantCulture, $"  p. {at}") : "";
            around.Output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{++number}. {bold}{title}{plain}{page}  {hit.Score:0.00}"));
            foreach (var line in Snippet.Lines(hit.Text, query)) around.Output.WriteLine("   " + line);
            if (hit.Path is { } path) around.Output.WriteLine("   " + SafeText.Of(path));
            around.Output.WriteLine();
        }

        if (answer.Hits.Count == 0) around.Error.WriteLine("nothing was found");
        if (answer.LexicalOnly is { } reason) around.Error.WriteLine($"ranked by words alone: {reason}");
        if (answer.Trace is { } trace) Print(around.Output, trace);
    }

    private static void Print(TextWriter output, TraceRow trace)
    {
        TextTable.Write(output, ["STAGE", "MS"], trace.Stages.Select(static stage => (IReadOnlyList<string>)
            [stage.Stage, stage.Ms.ToString("0.00", CultureInfo.InvariantCulture)]));
        foreach (var note in trace.Notes) output.WriteLine(note);
        output.WriteLine();
        TextTable.Write(output, ["FILE", "CHUNK", "WORDS", "COSINE", "FIRST_PASS", "FUSED", "RERANK"],
            trace.Candidates.Take(Shown).Select(static row => (IReadOnlyList<string>)
        [
            SafeText.Of(row.File), row.Chunk.ToString(CultureInfo.InvariantCulture), Rank(row.Lexical), Rank(row.Dense), Rank(row.FirstPass), Rank(row.Fused),
            Rank(row.Rerank),
        ]));
        if (trace.Candidates.Count > Shown) output.WriteLine($"and {trace.Candidates.Count - Shown} more, which --json prints too");
    }

    private static string Rank(RankRow? row) => row is null ? "-"
        : string.Create(CultureInfo.InvariantCulture, $"{(row.Rank is { } rank ? $"#{rank}" : "-")} {row.Score:0.000}").TrimEnd();
}
