using System.CommandLine;
using System.Globalization;
using System.Text.Json;

namespace Proxy.Cli.Knowledge;

/// <summary><c>proxy backup DIR</c>: a consistent copy of the store of documents, also while it is used.</summary>
internal static class BackupCommand
{
    public static Command Make(Surroundings around, Option<string?> config)
    {
        var folder = new Argument<string>("DIR") { Description = "An empty folder; it is made if it does not exist." };
        var json = ProxyCommand.Json();
        var command = new Command("backup", "Write a copy of all workspaces and documents, also while the proxy runs.") { folder, json };
        command.SetAction(async (parsed, cancellation) => (int)await Libraries.UseAsync(around, null, parsed.GetValue(config), works: false, async library =>
        {
            var path = Path.TrimEndingDirectorySeparator(Path.GetFullPath(parsed.GetRequiredValue(folder)));
            try
            {
                Directory.CreateDirectory(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
                if (Directory.EnumerateFileSystemEntries(path).Any()) throw new LibraryException($"{path} is not empty; name another folder");
                var files = await library.BackupAsync(path, cancellation).ConfigureAwait(false);
                if (parsed.GetValue(json)) around.Output.WriteLine(JsonSerializer.Serialize(new BackupResult(path, files), KnowledgeRows.Print.BackupResult));
                else
                {
                    var size = string.Create(CultureInfo.InvariantCulture, $"{files.Sum(static file => file.Bytes) / 1e6:0.0} MB");
                    around.Output.WriteLine($"{path}: {files.Count} files, {size}. To restore it, stop the proxy and put them into knowledge/ of its state directory.");
                }

                return ExitCode.Ok;
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                throw new LibraryException($"{path} cannot be written: {e.Message}");
            }
        }, cancellation).ConfigureAwait(false));
        return command;
    }
}
