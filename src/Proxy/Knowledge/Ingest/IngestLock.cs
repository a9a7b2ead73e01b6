namespace Proxy.Knowledge.Ingest;

/// <summary>
/// The right to read documents into the store of one folder: of a proxy while it runs, or of a command that works without one. The store itself would bear
/// several; what they would do twice is the work: walk the same folders, and load a model each and compute with all cores. A database server's store has no
/// such lock, because proxies on several machines share its work. The kernel frees it when its process ends, however it ends.
/// </summary>
internal sealed class IngestLock : IDisposable
{
    public const string Name = "ingest.lock";
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);

    private readonly FileStream file;

    private IngestLock(FileStream file) => this.file = file;

    /// <summary>Null if another process has it. Makes the folder if it does not exist.</summary>
    public static IngestLock? TryTake(string folder)
    {
        Directory.CreateDirectory(folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        var path = Path.Combine(folder, Name);
        try
        {
            // Not shared, which .NET asks the kernel for with flock. The file stays: deleting it would let two processes lock two files of its name.
            return new(new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None));
        }
        catch (IOException) when (File.Exists(path))
        {
            return null;
        }
    }

    /// <summary>
    /// Waits until no command has the lock, then takes it and works. Where the folder does not exist yet, no command uses it and none will: commands find this
    /// process first.
    /// </summary>
    /// <param name="folder">Null: there is nothing to lock.</param>
    /// <param name="work">The work, and whether it is done under the lock.</param>
    /// <param name="time">The clock.</param>
    /// <param name="cancellation">Ends both.</param>
    public static async Task HoldAsync(string? folder, Func<bool, CancellationToken, Task> work, TimeProvider time, CancellationToken cancellation)
    {
        IngestLock? held = null;
        try
        {
            while (Directory.Exists(folder) && held is null && !cancellation.IsCancellationRequested)
            {
                try
                {
                    held = TryTake(folder);
                }
                catch (Exception e) when (e is IOException or UnauthorizedAccessException)
                {
                    break; // the store says what is wrong with the folder
                }

                if (held is null) await Task.Delay(Pause, time, cancellation).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }

            if (!cancellation.IsCancellationRequested) await work(held is not null, cancellation).ConfigureAwait(false);
        }
        finally
        {
            held?.Dispose();
        }
    }

    public void Dispose() => file.Dispose();
}
