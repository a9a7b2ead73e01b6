using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Proxy.Knowledge;

namespace Proxy.Cli.Knowledge;

/// <summary>
/// One pass over what is to be in a workspace: finds the files, sends what is new or changed, waits until it is read, and removes what is gone. It can be ended
/// at any time; the next pass goes on.
/// </summary>
/// <param name="library">Where the workspace is.</param>
/// <param name="options">What was asked for.</param>
/// <param name="progress">Shows how far it is.</param>
/// <param name="digests">The digests of files that an earlier pass of this process has read.</param>
/// <param name="input">Opens the standard input.</param>
internal sealed class IngestRound(
    Library library, IngestOptions options, IngestProgress progress, Dictionary<string, (FileFacts Facts, string Digest)> digests, Func<Stream> input)
{
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(250);

    /// <summary>What the workspace has, by path.</summary>
    private readonly Dictionary<string, List<KnownFile>> known = new(StringComparer.Ordinal);

    /// <summary>The paths that were sent, or that are being read since an earlier pass, with their ids.</summary>
    private readonly Dictionary<string, string> waiting = new(StringComparer.Ordinal);
    private readonly HashSet<string> seen = new(StringComparer.Ordinal);
    private IngestResult result = new("", "");
    private WorkspaceRow? workspace;
    private long? limit;

    public async Task<IngestResult> RunAsync(CancellationToken cancellation)
    {
        await OpenAsync(cancellation).ConfigureAwait(false);
        var found = Find();
        var done = 0;
        foreach (var file in found)
        {
            cancellation.ThrowIfCancellationRequested();
            progress.Show(options.DryRun ? "looked at" : "sent", done++, found.Count);
            await TakeAsync(file, cancellation).ConfigureAwait(false);
        }

        foreach (var lines in options.Lines) await TakeLinesAsync(lines, cancellation).ConfigureAwait(false);
        if (workspace is not null && !options.DryRun) await WaitAsync(workspace, cancellation).ConfigureAwait(false);
        if (options.Prune) await PruneAsync(cancellation).ConfigureAwait(false);
        if (workspace is not null && !options.DryRun && !options.NoWait)
        {
            await library.SweepAsync(cancellation).ConfigureAwait(false);
            result.Chunks = (await library.FindAsync(workspace.Id, cancellation).ConfigureAwait(false)).Chunks;
        }

        progress.Clear();
        return result;
    }

    /// <summary>Finds or makes the workspace, and reads what it has. A dry run makes none.</summary>
    private async Task OpenAsync(CancellationToken cancellation)
    {
        if (options.DryRun)
        {
            var all = await library.ListAsync(cancellation).ConfigureAwait(false);
            workspace = all.FirstOrDefault(row => row.Id == options.Workspace) ?? all.FirstOrDefault(row => row.Name == options.Workspace);
        }
        else
        {
            var answer = await library.EnsureAsync(options.Workspace, cancellation).ConfigureAwait(false);
            (workspace, limit) = (answer.Workspace, answer.FileLimit);
        }

        result = new(workspace?.Name ?? options.Workspace, workspace?.Id) { DryRun = options.DryRun };
        if (workspace is null) return;
        foreach (var file in await library.FilesAsync(workspace, cancellation).ConfigureAwait(false))
        {
            if (!known.TryGetValue(file.Path, out var rows)) known[file.Path] = rows = [];
            rows.Add(file);
        }
    }

    private List<FoundFile> Find()
    {
        var walk = new FileWalk(options.Hidden, options.NoIgnore);
        var files = new List<FoundFile>();
        foreach (var path in options.Paths)
        {
            foreach (var file in walk.Find(path))
            {
                if (!seen.Add(file.Path)) continue;
                if (file.Reason is null && file.Facts.Bytes > limit) Fail(file.Path, LimitedStream.TooLarge(limit.Value));
                else if (file.Reason is null) files.Add(file);
                else if (file.Skip is SkipKind.Failed) Fail(file.Path, file.Reason);
                else result.Skipped.Add(new(file.Path, file.Reason));
            }
        }

        return files;
    }

    private async Task TakeAsync(FoundFile file, CancellationToken cancellation)
    {
        try
        {
            var digest = await DigestAsync(file, cancellation).ConfigureAwait(false);
            var outgoing = new OutgoingFile(file.Path, WorkspaceAccess.PlainName(file.Path), digest, options.Attributes ?? Attributes.None);
            await OfferAsync(outgoing, () => File.OpenRead(file.Path), options.Attributes is not null, cancellation).ConfigureAwait(false);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            Fail(file.Path, FileWalk.Why(e));
        }
    }

    private async Task TakeLinesAsync(string path, CancellationToken cancellation)
    {
        var shown = path == "-" ? "standard input" : path;
        Stream content;
        try
        {
            content = path == "-" ? input() : File.OpenRead(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            Fail(shown, e is FileNotFoundException or DirectoryNotFoundException ? "does not exist" : FileWalk.Why(e));
            return;
        }

        await using var closed = content.ConfigureAwait(false);
        foreach (var (line, document, problem) in JsonLines.Read(content, options.Attributes))
        {
            cancellation.ThrowIfCancellationRequested();
            if (document is null)
            {
                Fail($"{shown}:{line}", problem!);
                continue;
            }

            var text = Encoding.UTF8.GetBytes(document.Text);
            var outgoing = new OutgoingFile(document.Path, document.Name, Convert.ToHexStringLower(SHA256.HashData(text)), document.Attributes);
            if (text.Length > limit) Fail($"{shown}:{line}", LimitedStream.TooLarge(limit.Value));
            else if (!seen.Add(document.Path)) Fail($"{shown}:{line}", $"the id \"{document.Id}\" stands in another file too");
            else await OfferAsync(outgoing, () => new MemoryStream(text), labels: true, cancellation).ConfigureAwait(false);
        }
    }

    /// <summary>Sends a file unless the workspace has it as it is.</summary>
    /// <param name="file">The file.</param>
    /// <param name="open">Opens its content.</param>
    /// <param name="labels">Whether its attributes are to be as given, also if its content is unchanged.</param>
    /// <param name="cancellation">Ends it.</param>
    private async Task OfferAsync(OutgoingFile file, Func<Stream> open, bool labels, CancellationToken cancellation)
    {
        var rows = known.GetValueOrDefault(library.KnownAs(file.Path)) ?? [];
        var same = rows.FindAll(row => row.Sha256 == file.Sha256 && (row.Name.Length == 0 || row.Name == file.Name) && !options.Force);
        if (same.Find(static row => row.Status is "completed") is { } there)
        {
            await KeepAsync(file, there, rows, labels, cancellation).ConfigureAwait(false);
        }
        else if (same.Find(static row => row.Status is "in_progress") is { } running)
        {
            waiting[file.Path] = running.FileId;
        }
        else if (same.Find(static row => row is { Status: "failed", Code: not "server_error" }) is { } failed)
        {
            Fail(file.Path, failed.Error ?? "could not be read");
        }
        else if (options.DryRun)
        {
            if (rows.Exists(static row => row.Status is not "failed")) result.Changed++;
            else result.New++;
            progress.Say($"would read {SafeText.Of(file.Path)}");
        }
        else
        {
            // What was not given stays as it is, as it does for files that are unchanged.
            if (!labels && rows.Find(static row => row.Status is "completed") is { } before) file = file with { Attributes = before.Attributes };
            await SendAsync(file, open, rows, cancellation).ConfigureAwait(false);
        }
    }

    private async Task KeepAsync(OutgoingFile file, KnownFile there, List<KnownFile> rows, bool labels, CancellationToken cancellation)
    {
        var relabels = labels && !JsonElement.DeepEquals(there.Attributes, file.Attributes);
        if (relabels) result.Relabelled++;
        else result.Unchanged++;
        if (options.DryRun) return;
        if (relabels) await library.LabelAsync(workspace!, there, file.Attributes, cancellation).ConfigureAwait(false);
        // An earlier content that could not be read is of no interest any more.
        foreach (var row in rows.Where(static row => row.Status is "failed"))
            await library.RemoveAsync(workspace!, row.FileId, cancellation).ConfigureAwait(false);
    }

    private async Task SendAsync(OutgoingFile file, Func<Stream> open, List<KnownFile> rows, CancellationToken cancellation)
    {
        try
        {
            var content = open();
            await using var closed = content.ConfigureAwait(false);
            waiting[file.Path] = await library.AddAsync(workspace!, file, content, cancellation).ConfigureAwait(false);
        }
        catch (LibraryException e) when (e.IsOfFile)
        {
            Fail(file.Path, e.Message);
            return;
        }

        foreach (var row in rows.Where(static row => row.Status is "failed"))
            await library.RemoveAsync(workspace!, row.FileId, cancellation).ConfigureAwait(false);
    }

    /// <summary>Waits until what was sent is read, and counts what became of it.</summary>
    private async Task WaitAsync(WorkspaceRow of, CancellationToken cancellation)
    {
        if (options.NoWait) result.Pending = waiting.Count;
        if (options.NoWait || waiting.Count == 0) return;
        string? problem = null;
        while (await library.FindAsync(of.Id, cancellation).ConfigureAwait(false) is { Files.InProgress: > 0 } row)
        {
            progress.Show("read", Math.Max(0, waiting.Count - row.Files.InProgress), waiting.Count);
            if (row.Problem is not null && row.Problem != problem) progress.Say($"waiting: {row.Problem}");
            problem = row.Problem;
            await Task.Delay(Poll, cancellation).ConfigureAwait(false);
        }

        var now = (await library.FilesAsync(of, cancellation).ConfigureAwait(false)).ToDictionary(static row => row.FileId);
        foreach (var (path, id) in waiting)
        {
            var earlier = (known.GetValueOrDefault(library.KnownAs(path)) ?? []).FindAll(row => row.FileId != id && row.Status is not "failed");
            switch (now.GetValueOrDefault(id))
            {
                case { Status: "completed" }:
                    if (earlier.Count > 0) result.Changed++;
                    else result.New++;
                    // The store removed the old content from the workspace; the file itself goes too.
                    foreach (var row in earlier) await library.RemoveAsync(of, row.FileId, cancellation).ConfigureAwait(false);
                    break;
                case { Status: "failed" } row:
                    Fail(path, row.Error ?? "could not be read");
                    break;
                case null:
                    Fail(path, "was removed while it waited to be read");
                    break;
                default:
                    result.Pending++;
                    break;
            }
        }
    }

    /// <summary>Removes files below the given paths that are no longer on the disk. What cannot be seen for another reason stays.</summary>
    private async Task PruneAsync(CancellationToken cancellation)
    {
        var roots = options.Paths.Select(static path => FileFacts.RealPath(Path.GetFullPath(path))).OfType<string>().ToArray();
        foreach (var (path, rows) in known)
        {
            if (seen.Contains(path) || !roots.Any(root => path.StartsWith(root == "/" ? root : root + "/", StringComparison.Ordinal))) continue;
            if (FileFacts.Of(path, out var isGone) is not null || !isGone) continue;
            result.Removed++;
            if (options.DryRun) progress.Say($"would remove {SafeText.Of(path)}");
            else foreach (var row in rows) await library.RemoveAsync(workspace!, row.FileId, cancellation).ConfigureAwait(false);
        }
    }

    private async ValueTask<string> DigestAsync(FoundFile file, CancellationToken cancellation)
    {
        if (digests.TryGetValue(file.Path, out var earlier) && earlier.Facts == file.Facts) return earlier.Digest;
        var content = File.OpenRead(file.Path);
        await using var closed = content.ConfigureAwait(false);
        var digest = Convert.ToHexStringLower(await SHA256.HashDataAsync(content, cancellation).ConfigureAwait(false));
        digests[file.Path] = (file.Facts, digest);
        return digest;
    }

    private void Fail(string path, string reason) => result.Failed.Add(new(path, reason));
}
