using System.Globalization;
using System.Net;

namespace Proxy.Inference;

/// <summary>Receives the progress of a download.</summary>
internal interface IPullProgress
{
    /// <summary>The download of a file starts, at an offset if a part of the file is there already.</summary>
    void Began(HubFile file, long from);

    /// <summary>The file has grown to this many bytes.</summary>
    void Reached(HubFile file, long bytes);

    /// <summary>The file is complete and verified.</summary>
    void Ended(HubFile file);

    /// <summary>The connection broke; the download is resumed.</summary>
    void Retrying(HubFile file, string reason);
}

/// <summary>The result of a download. <paramref name="IsNew"/>: false if all files were there already.</summary>
internal sealed record PulledModel(string Folder, HubListing Listing, IReadOnlyList<HubFile> Files, ModelFolder Model, bool IsNew);

/// <summary>
/// Downloads the files that running a model needs into the folder of models. They are collected in a hidden folder, which is moved into place when all files
/// are
/// verified, so that no process ever sees an incomplete model. An interrupted download resumes where it stopped.
/// </summary>
internal sealed class HubPull(Hub hub, PulledModels models, IPullProgress progress)
{
    private const int Tries = 5;
    private const int Block = 1 << 18;

    /// <summary>The wait before a retry after an attempt without progress; doubled each time.</summary>
    public TimeSpan Pause { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>Free bytes in a folder.</summary>
    public Func<string, long> FreeBytes { get; init; } = static folder => new DriveInfo(folder).AvailableFreeSpace;

    /// <summary>Throws <see cref="HubException"/> with a message for the user.</summary>
    public async Task<PulledModel> RunAsync(string name, string revision, string variant, CancellationToken cancellation)
    {
        try
        {
            return await PullAsync(name, revision, variant, cancellation);
        }
        catch (HubException)
        {
            models.Tidy(name);
            throw;
        }
        catch (ModelFolderException problem)
        {
            throw new HubException(problem.Message);
        }
        catch (HttpRequestException problem)
        {
            throw new HubException($"{problem.Message}; pull again to resume");
        }
        catch (IOException problem)
        {
            throw new HubException(
                IsFull(problem) ? $"the disk of {models.Folder} is full; free some space, then pull again to resume" : problem.Message);
        }
        catch (UnauthorizedAccessException problem)
        {
            throw new HubException($"{problem.Message} The folder is set by STATE_DIRECTORY, or else by XDG_DATA_HOME");
        }
    }

    private async Task<PulledModel> PullAsync(string name, string revision, string variant, CancellationToken cancellation)
    {
        var listing = await hub.ListAsync(name, revision, cancellation);
        var (place, gathering) = (models.PlaceOf(name), models.GatheringOf(name));
        var there = new HubFiles(listing, gathering);
        if (there.Graphs().Count == 0)
        {
            throw new HubException($"{name} has no ONNX graph: there is no .onnx file at its root or in onnx/. "
                + "Look for a conversion of it, such as onnx-community's");
        }

        var (graph, _) = GraphFiles.Choose(there, variant);
        foreach (var needed in new[] { "config.json", ModelFolder.Tokenizer })
            if (!there.Has(needed)) throw new HubException($"{name} has no {needed}, without which it cannot be served");
        HubFile[] descriptions = [.. there.Descriptions()], weights = [.. there.Weights(graph)], files = [.. descriptions, .. weights];
        foreach (var file in files) FileDigest.Of(file);

        if (await IsThereAsync(place, files, cancellation))
        {
            return new(place, listing, files, ModelFolder.Read(new FolderFiles(place), null, GraphFiles.Auto), false);
        }

        Directory.CreateDirectory(gathering);
        await using var turn = Turn(name);
        var missing = files.Sum(file => file.Size - Here(gathering, file));
        var free = FreeBytes(gathering);
        if (missing > free) throw new HubException($"{name} needs {Megabytes(missing)} in {models.Folder}, and {Megabytes(free)} are free");

        foreach (var file in descriptions) await FetchAsync(listing, file, place, gathering, cancellation);
        // An unusable model is detected before the large files are downloaded.
        ModelFolder.Read(there, null, variant);
        foreach (var file in weights) await FetchAsync(listing, file, place, gathering, cancellation);

        var wanted = files.Select(file => Path.Combine(gathering, file.Path)).ToHashSet(StringComparer.Ordinal);
        foreach (var stale in Directory.EnumerateFiles(gathering, "*", SearchOption.AllDirectories).Where(file => !wanted.Contains(file)).ToArray())
        {
            File.Delete(stale);
        }

        models.Put(name);
        return new(place, listing, files, ModelFolder.Read(new FolderFiles(place), null, GraphFiles.Auto), true);
    }

    /// <summary>Locks the model's download, because two processes would write into each other's files.</summary>
    private FileStream Turn(string name)
    {
        try
        {
            return new(models.GatheringOf(name) + ".lock", FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, 0, FileOptions.DeleteOnClose);
        }
        catch (IOException problem) when (!IsFull(problem))
        {
            throw new HubException($"{name} is being pulled by another process: {problem.Message}");
        }
    }

    private static async Task<bool> IsThereAsync(string place, HubFile[] files, CancellationToken cancellation)
    {
        if (!Directory.Exists(place) || Directory.EnumerateFiles(place, "*", SearchOption.AllDirectories).Count() != files.Length) return false;
        foreach (var file in files)
            if (!await FileDigest.IsMetAsync(Path.Combine(place, file.Path), file, cancellation)) return false;
        return true;
    }

    private async Task FetchAsync(HubListing listing, HubFile file, string place, string gathering, CancellationToken cancellation)
    {
        var path = Path.Combine(gathering, file.Path);
        if (await FileDigest.IsMetAsync(path, file, cancellation)) return;
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        var before = Path.Combine(place, file.Path);
        if (await FileDigest.IsMetAsync(before, file, cancellation))
        {
            File.Copy(before, path, overwrite: true);
            return;
        }

        using var digest = new FileDigest(file);
        await using (var output = new FileStream(PartOf(path, file), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, 0, useAsync: true))
        {
            if (output.Length > file.Size) output.SetLength(0);
            await digest.AppendAsync(output, cancellation);
            progress.Began(file, output.Length);
            await DownloadAsync(listing, file, output, digest, cancellation);
            output.Flush(flushToDisk: true);
        }

        if (digest.Finish() != digest.Expected)
        {
            models.Forget(listing.Name);
            throw new HubException($"{file.Path} of {listing.Name} does not have the digest that the hub gives for it. It was discarded");
        }

        File.Move(PartOf(path, file), path, overwrite: true);
        progress.Ended(file);
    }

    /// <summary>Retries as long as there is progress, and a few times without.</summary>
    private async Task DownloadAsync(HubListing listing, HubFile file, FileStream output, FileDigest digest, CancellationToken cancellation)
    {
        for (var failures = 0; output.Length < file.Size;)
        {
            var before = output.Length;
            try
            {
                await ReceiveAsync(listing, file, output, digest, cancellation);
            }
            catch (HttpRequestException problem)
            {
                failures = output.Length > before ? 0 : failures + 1;
                if (failures >= Tries)
                {
                    throw new HttpRequestException(
                        $"{file.Path} of {listing.Name} stopped at {Megabytes(output.Length)} of {Megabytes(file.Size)}: {problem.Message}");
                }

                progress.Retrying(file, problem.Message);
                if (failures > 0) await Task.Delay(Pause * (1 << (failures - 1)), cancellation);
            }
        }
    }

    private async Task ReceiveAsync(HubListing listing, HubFile file, FileStream output, FileDigest digest, CancellationToken cancellation)
    {
        using var response = await hub.OpenAsync(listing, file, output.Length, cancellation);
        var goesOn = response.StatusCode is HttpStatusCode.PartialContent && response.Content.Headers.ContentRange?.From == output.Length;
        if (!goesOn && output.Length > 0)
        {
            // A host that cannot resume sends the file from the start.
            output.SetLength(0);
            digest.Restart(file);
            if (response.StatusCode is not HttpStatusCode.OK) throw new HttpRequestException("the host cannot resume the download");
        }

        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        await using var body = await response.Content.ReadAsStreamAsync(cancellation);
        var buffer = new byte[Block];
        while (output.Length < file.Size)
        {
            var read = await Hub.ReadAsync(body, buffer, patience, cancellation);
            if (read == 0) throw new HttpRequestException("the connection ended early");
            var bytes = buffer.AsMemory(0, (int)Math.Min(read, file.Size - output.Length));
            await output.WriteAsync(bytes, cancellation);
            digest.Append(bytes.Span);
            progress.Reached(file, output.Length);
        }
    }

    /// <summary>The name contains the digest, so that a part of another revision's file is not continued.</summary>
    private static string PartOf(string path, HubFile file) => $"{path}.{FileDigest.Of(file)[..12]}.part";

    private static long Here(string gathering, HubFile file)
    {
        var path = Path.Combine(gathering, file.Path);
        return File.Exists(path) ? Math.Min(new FileInfo(path).Length, file.Size)
            : File.Exists(PartOf(path, file)) ? Math.Min(new FileInfo(PartOf(path, file)).Length, file.Size)
            : 0;
    }

    private static bool IsFull(IOException problem)
    {
        const int NoSpace = 28, OverQuota = 122;
        return problem.HResult is NoSpace or OverQuota;
    }

    private static string Megabytes(long bytes) => string.Create(CultureInfo.InvariantCulture, $"{bytes / 1e6:0.0} MB");
}
