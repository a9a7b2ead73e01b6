using System.CommandLine;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;

namespace Proxy.Cli.Knowledge;

/// <summary><c>proxy ingest WORKSPACE PATH…</c>: puts files into a workspace and keeps it as they are.</summary>
internal static class IngestCommand
{
    /// <summary>How many skipped files are named; the rest are counted.</summary>
    private const int NamedSkips = 3;

    /// <summary>How long <c>--watch</c> waits after a failure, for example while the proxy restarts.</summary>
    private static readonly TimeSpan AfterFailure = TimeSpan.FromSeconds(5);

    public static Command Make(Surroundings around, Option<string?> config)
    {
        var workspace = Workspace("The workspace's name or id; it is made if there is none.");
        var paths = new Argument<string[]>("PATH") { Description = "Files and folders.", Arity = ArgumentArity.ZeroOrMore };
        var lines = new Option<string[]>("--jsonl")
        {
            Description = "Documents of other systems: a JSON object on each line with id, text, and if you like title, url, attributes; \"-\" reads stdin.",
            HelpName = "FILE",
        };
        var attributes = new Option<string[]>("--attributes")
        {
            Description = "An attribute of every file, for filters; may be repeated.", HelpName = "NAME=VALUE",
        };
        var prune = Flag("--prune", "Remove files below PATH that are no longer on the disk.");
        var watch = Flag("--watch", "Stay, and follow every change.");
        var dry = Flag("--dry-run", "Only say what would be done.");
        var strict = Flag("--strict", "Exit 1 if any file cannot be read, not only if all cannot.");
        var noWait = Flag("--no-wait", "Do not wait until the files are read.");
        var hidden = Flag("--hidden", "Take files and folders whose names begin with a dot, too.");
        var noIgnore = Flag("--no-ignore", "Take what .gitignore leaves out, too.");
        var force = Flag("--force", "Read files again although they are unchanged.");
        var quiet = Flag("--quiet", "Print only what could not be read.");
        var (url, json) = (Libraries.Url(), ProxyCommand.Json());
        var command = new Command(
            "ingest", "Put documents into a workspace: folders are walked, .gitignore is honoured, and what is unchanged is skipped.")
        {
            workspace, paths, lines, attributes, prune, watch, dry, strict, noWait, hidden, noIgnore, force, quiet, url, json,
        };
        command.Validators.Add(result =>
        {
            var (some, exports) = (result.GetValue(paths) ?? [], result.GetValue(lines) ?? []);
            if (some.Length == 0 && exports.Length == 0) result.AddError("ingest needs a PATH, or --jsonl FILE.");
            if (some.Length == 0 && result.GetValue(prune)) result.AddError("--prune removes files below a PATH; what came by --jsonl is not below one.");
            if (exports.Contains("-") && result.GetValue(watch)) result.AddError("--watch cannot follow stdin.");
            if (Attributes.Read(result.GetValue(attributes) ?? []).Problem is { } problem) result.AddError(problem);
        });
        command.SetAction(async (parsed, cancellation) =>
        {
            var written = parsed.GetValue(attributes) ?? [];
            var options = new IngestOptions(parsed.GetRequiredValue(workspace), parsed.GetValue(paths) ?? [], parsed.GetValue(lines) ?? [])
            {
                Attributes = written.Length > 0 ? Attributes.Read(written).Read : null, Prune = parsed.GetValue(prune), Watch = parsed.GetValue(watch),
                DryRun = parsed.GetValue(dry), Strict = parsed.GetValue(strict), NoWait = parsed.GetValue(noWait), Hidden = parsed.GetValue(hidden),
                NoIgnore = parsed.GetValue(noIgnore), Force = parsed.GetValue(force), Quiet = parsed.GetValue(quiet), Json = parsed.GetValue(json),
                Url = parsed.GetValue(url), ConfigFile = parsed.GetValue(config),
            };
            using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
            using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, signal =>
            {
                signal.Cancel = !stop.IsCancellationRequested;
                stop.Cancel();
            });
            try
            {
                return (int)await (options.Watch ? WatchAsync(around, options, stop.Token) : RunAsync(around, options, [], stop.Token)).ConfigureAwait(false);
            }
            catch (OperationCanceledException) when (stop.IsCancellationRequested)
            {
                around.Error.WriteLine(options.Watch ? "\nstopped" : "\nstopped; what was sent is kept, and the same command goes on from here");
                return (int)(options.Watch ? ExitCode.Ok : ExitCode.Failed);
            }
        });
        return command;
    }

    /// <summary>The argument for a workspace.</summary>
    public static Argument<string> Workspace(string description)
    {
        var workspace = new Argument<string>("WORKSPACE") { Description = description };
        workspace.Validators.Add(result =>
        {
            var name = result.Tokens.Count > 0 ? result.Tokens[0].Value : "x";
            if (string.IsNullOrWhiteSpace(name) || name.Length > 256 || name.Any(char.IsControl))
                result.AddError("a workspace's name has 1 to 256 characters, and no control characters.");
        });
        return workspace;
    }

    private static Option<bool> Flag(string name, string description) => new(name) { Description = description };

    private static Task<ExitCode> RunAsync(
        Surroundings around, IngestOptions options, Dictionary<string, (FileFacts, string)> digests, CancellationToken cancellation) =>
        Libraries.UseAsync(around, options.Url, options.ConfigFile, !options.DryRun && !options.NoWait, async library =>
        {
            var progress = new IngestProgress(around.Error, around.IsTerminal, options.Quiet || options.Json, TimeProvider.System);
            try
            {
                var result = await new IngestRound(library, options, progress, digests, around.Input).RunAsync(cancellation).ConfigureAwait(false);
                return Report(around, options, result);
            }
            finally
            {
                progress.Clear();
            }
        }, cancellation);

    /// <summary>
    /// A pass, and one more after every change. Between two passes nothing is open, so that a proxy that starts or stops meanwhile does not matter: each pass
    /// finds the library anew.
    /// </summary>
    private static async Task<ExitCode> WatchAsync(Surroundings around, IngestOptions options, CancellationToken cancellation)
    {
        var digests = new Dictionary<string, (FileFacts, string)>(StringComparer.Ordinal);
        // Before the first pass, so that no change between the two is missed.
        using var watch = new FolderWatch([.. options.Paths, .. options.Lines], TimeProvider.System, around.Error.WriteLine);
        for (var isFirst = true; ; isFirst = false)
        {
            var code = await RunAsync(around, options, digests, cancellation).ConfigureAwait(false);
            if (code is ExitCode.Usage or ExitCode.ConfigProblem || (isFirst && code is ExitCode.Failed && options.Strict)) return code;
            if (code is not ExitCode.Ok) await Task.Delay(AfterFailure, cancellation).ConfigureAwait(false);
            else await watch.ChangedAsync(cancellation).ConfigureAwait(false);
        }
    }

    private static ExitCode Report(Surroundings around, IngestOptions options, IngestResult result)
    {
        var read = result.New + result.Changed + result.Unchanged + result.Relabelled + result.Pending;
        var isBad = result.Failed.Count > 0 && (options.Strict || read == 0);
        if (options.Json)
        {
            var type = options.Watch ? KnowledgeRows.OneLine.IngestResult : KnowledgeRows.Print.IngestResult;
            around.Output.WriteLine(JsonSerializer.Serialize(result, type));
            return isBad ? ExitCode.Failed : ExitCode.Ok;
        }

        foreach (var (path, reason) in result.Failed) around.Error.WriteLine($"{SafeText.Of(path)}: {SafeText.Of(reason)}");
        if (!options.Quiet)
        {
            foreach (var group in result.Skipped.GroupBy(static file => file.Reason).OrderByDescending(static group => group.Count()))
                around.Error.WriteLine($"skipped, {group.Key}: {Named([.. group.Select(static file => file.Path)])}");
            around.Output.WriteLine(Summary(result, options));
        }

        return isBad ? ExitCode.Failed : ExitCode.Ok;
    }

    private static string Summary(IngestResult result, IngestOptions options)
    {
        var parts = new List<string>();
        Add(result.New, options.DryRun ? "would be added" : "added");
        Add(result.Changed, options.DryRun ? "would be replaced" : "replaced");
        Add(result.Unchanged, "unchanged");
        Add(result.Relabelled, "with new attributes");
        Add(result.Removed, options.DryRun ? "would be removed" : "removed");
        Add(result.Pending, "waiting to be read");
        Add(result.Failed.Count, "could not be read");
        var counts = parts.Count > 0 ? string.Join(", ", parts) : "nothing to read";
        var chunks = result.Chunks is { } number ? string.Create(CultureInfo.InvariantCulture, $"; {number} chunks in all") : "";
        return $"{SafeText.Of(result.Workspace ?? "")}: {counts}{chunks}";

        void Add(int count, string what)
        {
            if (count > 0) parts.Add($"{count} {what}");
        }
    }

    private static string Named(List<string> paths)
    {
        var named = string.Join(", ", paths.Take(NamedSkips).Select(SafeText.Of));
        return paths.Count > NamedSkips ? $"{named} and {paths.Count - NamedSkips} more" : named;
    }
}
