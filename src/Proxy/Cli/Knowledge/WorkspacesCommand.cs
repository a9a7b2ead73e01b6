using System.CommandLine;
using System.Globalization;
using System.Text.Json;

namespace Proxy.Cli.Knowledge;

/// <summary><c>proxy workspaces</c>: lists them, deletes one (<c>rm</c>), or has its vectors computed anew (<c>reembed</c>).</summary>
internal static class WorkspacesCommand
{
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(500);

    public static Command Make(Surroundings around, Option<string?> config)
    {
        var (url, json) = (Libraries.Url(), ProxyCommand.Json());
        var command = new Command("workspaces", "List the workspaces: owner, files, chunks, size, embedding model and status.")
        {
            Remove(around, config), Reembed(around, config), url, json,
        };
        command.SetAction(async (parsed, cancellation) => (int)await Libraries.UseAsync(
            around, parsed.GetValue(url), parsed.GetValue(config), works: false, async library =>
            {
                var rows = await library.ListAsync(cancellation).ConfigureAwait(false);
                if (parsed.GetValue(json)) around.Output.WriteLine(JsonSerializer.Serialize(new WorkspaceTable(rows), KnowledgeRows.Print.WorkspaceTable));
                else Print(around, rows, library.Place);
                return ExitCode.Ok;
            }, cancellation).ConfigureAwait(false));
        return command;
    }

    private static Command Remove(Surroundings around, Option<string?> config)
    {
        var name = IngestCommand.Workspace("The workspace's name or id.");
        var yes = new Option<bool>("--yes", "-y") { Description = "Do not ask." };
        var url = Libraries.Url();
        var command = new Command("rm", "Delete a workspace, and the files that `proxy ingest` put into it.") { name, yes, url };
        command.SetAction(async (parsed, cancellation) => (int)await Libraries.UseAsync(
            around, parsed.GetValue(url), parsed.GetValue(config), works: false, async library =>
            {
                var row = await library.FindAsync(parsed.GetRequiredValue(name), cancellation).ConfigureAwait(false);
                var shown = SafeText.Of(row.Name.Length > 0 ? row.Name : row.Id);
                if (!parsed.GetValue(yes))
                {
                    var files = row.Files.Completed + row.Files.InProgress + row.Files.Failed;
                    around.Error.Write($"Delete the workspace {shown} ({row.Id}) with {files} files? This cannot be undone. [y/N] ");
                    if (around.ReadLine() is not ("y" or "Y" or "yes"))
                    {
                        around.Error.WriteLine("Nothing was deleted. (--yes does not ask.)");
                        return ExitCode.Failed;
                    }
                }

                await library.DeleteAsync(row, cancellation).ConfigureAwait(false);
                around.Output.WriteLine($"deleted {shown}");
                return ExitCode.Ok;
            }, cancellation).ConfigureAwait(false));
        return command;
    }

    private static Command Reembed(Surroundings around, Option<string?> config)
    {
        var name = IngestCommand.Workspace("The workspace's name or id.");
        var noWait = new Option<bool>("--no-wait") { Description = "Do not wait until the vectors are computed." };
        var command = new Command(
            "reembed", "Compute a workspace's vectors with the models of [knowledge] embedder. Until all are there, searches use the old ones.") { name, noWait };
        command.SetAction(async (parsed, cancellation) => (int)await Libraries.UseAsync(
            around, null, parsed.GetValue(config), works: !parsed.GetValue(noWait), async library =>
            {
                var found = await library.FindAsync(parsed.GetRequiredValue(name), cancellation).ConfigureAwait(false);
                // The same command again goes on, and does not begin anew.
                var row = found.Building is null ? await library.ReembedAsync(found, cancellation).ConfigureAwait(false) : found;
                var models = string.Join(", ", row.Building ?? row.Models ?? []);
                if (!parsed.GetValue(noWait)) await WaitAsync(around, library, row, cancellation).ConfigureAwait(false);
                around.Output.WriteLine($"{SafeText.Of(row.Name)}: {(parsed.GetValue(noWait) ? "is being embedded" : "embedded")} with {SafeText.Of(models)}");
                return ExitCode.Ok;
            }, cancellation).ConfigureAwait(false));
        return command;
    }

    private static async Task WaitAsync(Surroundings around, Library library, WorkspaceRow row, CancellationToken cancellation)
    {
        var progress = new IngestProgress(around.Error, around.IsTerminal, quiet: false, TimeProvider.System) { Unit = "chunks" };
        string? problem = null;
        while (await library.FindAsync(row.Id, cancellation).ConfigureAwait(false) is { Building: not null } now)
        {
            progress.Show("embedded", (int)((now.Built ?? 0) * (now.Chunks ?? 0)), (int)(now.Chunks ?? 0));
            if (now.Problem is not null && now.Problem != problem) progress.Say($"waiting: {now.Problem}");
            problem = now.Problem;
            await Task.Delay(Poll, cancellation).ConfigureAwait(false);
        }

        progress.Clear();
    }

    private static void Print(Surroundings around, IReadOnlyList<WorkspaceRow> rows, string place)
    {
        if (rows.Count == 0)
        {
            around.Error.WriteLine($"There is no workspace in {place}; `proxy ingest NAME PATH` makes one.");
            return;
        }

        TextTable.Write(around.Output, ["NAME", "ID", "OWNER", "FILES", "CHUNKS", "SIZE", "MODEL", "STATUS"], rows.Select(static row => (IReadOnlyList<string>)
        [
            row.Name.Length > 0 ? SafeText.Of(row.Name) : "-", row.Id, row.Owner is { } owner ? SafeText.Of(owner) : "-",
            row.Files.Completed.ToString(CultureInfo.InvariantCulture), row.Chunks?.ToString(CultureInfo.InvariantCulture) ?? "-",
            string.Create(CultureInfo.InvariantCulture, $"{row.Bytes / 1e6:0.0} MB"), row.Models is { Count: > 0 } models ? string.Join(",", models) : "-",
            Status(row),
        ]));
        foreach (var row in rows.Where(static row => row.Problem is not null)) around.Error.WriteLine($"{SafeText.Of(row.Name)}: {row.Problem}");
    }

    private static string Status(WorkspaceRow row)
    {
        var states = new List<string>();
        if (row.Files.InProgress > 0) states.Add($"reading {row.Files.InProgress} files");
        if (row.Building is { } building)
        {
            var done = row.Built is { } part ? string.Create(CultureInfo.InvariantCulture, $" ({part:0%})") : "";
            states.Add($"embedding with {string.Join(",", building)}{done}");
        }

        if (row.Files.Failed > 0) states.Add($"{row.Files.Failed} files failed");
        return states.Count > 0 ? string.Join(", ", states) : "ready";
    }
}
