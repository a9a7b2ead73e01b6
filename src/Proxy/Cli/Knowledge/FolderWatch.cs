namespace Proxy.Cli.Knowledge;

/// <summary>Says when something below paths has changed and has then been quiet for a while. What changed is found by a pass over the folders.</summary>
internal sealed class FolderWatch : IDisposable
{
    /// <summary>A program writes a file in several steps.</summary>
    private static readonly TimeSpan Settle = TimeSpan.FromSeconds(1);

    /// <summary>Changes without end, for example of a log, are not waited out longer than this.</summary>
    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(15);

    /// <summary>How often a pass is made without a change: the system may drop some, and folders on other machines report none.</summary>
    private static readonly TimeSpan Anyway = TimeSpan.FromMinutes(10);

    /// <summary>The same, where the system does not report changes at all.</summary>
    private static readonly TimeSpan Blind = TimeSpan.FromSeconds(30);

    private readonly List<FileSystemWatcher> watchers = [];
    private readonly SemaphoreSlim changed = new(0, 1);
    private readonly TimeProvider time;
    private volatile bool isBlind;

    /// <param name="paths">Files and folders. Those that do not exist are not watched.</param>
    /// <param name="time">The clock.</param>
    /// <param name="tell">Tells the user that changes are not reported.</param>
    public FolderWatch(IEnumerable<string> paths, TimeProvider time, Action<string> tell)
    {
        this.time = time;
        foreach (var path in paths)
        {
            try
            {
                if (Path.GetFullPath(path) is var whole && FileFacts.RealPath(whole) is { } real) Watch(real, tell);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                GoBlind(e, tell);
            }
        }
    }

    /// <summary>Waits for a change, and then until there are no more for a moment.</summary>
    public async Task ChangedAsync(CancellationToken cancellation)
    {
        if (!await WaitAsync(isBlind ? Blind : Anyway, cancellation).ConfigureAwait(false)) return;
        var began = time.GetTimestamp();
        while (time.GetElapsedTime(began) < Longest && await WaitAsync(Settle, cancellation).ConfigureAwait(false))
        {
        }
    }

    public void Dispose()
    {
        foreach (var watcher in watchers) watcher.Dispose();
    }

    /// <summary>Whether something changed within the time.</summary>
    private Task<bool> WaitAsync(TimeSpan most, CancellationToken cancellation) => changed.WaitAsync(most, cancellation);

    private void Watch(string path, Action<string> tell)
    {
        var isFolder = Directory.Exists(path);
        var watcher = new FileSystemWatcher(isFolder ? path : Path.GetDirectoryName(path)!)
        {
            IncludeSubdirectories = isFolder,
            NotifyFilter = NotifyFilters.FileName | NotifyFilters.DirectoryName | NotifyFilters.LastWrite | NotifyFilters.Size,
        };
        if (!isFolder) watcher.Filter = Path.GetFileName(path);
        watcher.Created += (_, change) => See(change.FullPath);
        watcher.Changed += (_, change) => See(change.FullPath);
        watcher.Deleted += (_, change) => See(change.FullPath);
        watcher.Renamed += (_, change) => See(change.FullPath);
        watcher.Error += (_, problem) => GoBlind(problem.GetException(), tell);
        watchers.Add(watcher);
        watcher.EnableRaisingEvents = true;
    }

    private void See(string path)
    {
        if (path.Contains("/.git/", StringComparison.Ordinal)) return;
        try
        {
            if (changed.CurrentCount == 0) changed.Release();
        }
        catch (Exception e) when (e is SemaphoreFullException or ObjectDisposedException)
        {
            // Another change was seen at the same moment.
        }
    }

    private void GoBlind(Exception problem, Action<string> tell)
    {
        if (isBlind) return;
        isBlind = true;
        tell($"the system does not report all changes, so the folders are looked through every {Blind.TotalSeconds:0} s: {problem.Message}");
        See("");
    }
}
