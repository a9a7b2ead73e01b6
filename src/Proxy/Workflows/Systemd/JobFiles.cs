using Tmds.DBus.Protocol;

namespace Proxy.Workflows.Systemd;

/// <summary>
/// The documents of jobs as files, which systemd opens as root for the jobs' standard input. All proxies of the service share the folder; the service's end
/// removes it.
/// </summary>
/// <param name="folder">The folder. It need not exist.</param>
internal sealed class JobFiles(string folder)
{
    private const string Ending = ".json";

    /// <summary>The time in which a file that was written is surely the input of a unit that systemd knows.</summary>
    private static readonly TimeSpan Fresh = TimeSpan.FromMinutes(2);

    /// <summary>The folder of the packaged service, where the templates of units look.</summary>
    public const string Usual = "/run/proxy/jobs";

    /// <summary>Below the service's runtime folder; null: this process is no service.</summary>
    public static JobFiles? Find(Func<string, string?> environment) =>
        // systemd may list several folders, separated by colons; the first is the proxy's.
        environment("RUNTIME_DIRECTORY") is { Length: > 0 } list ? new(Path.Combine(list.Split(':')[0], "jobs")) : null;

    /// <exception cref="IOException">It could not be written.</exception>
    /// <exception cref="UnauthorizedAccessException">The folder is another user's.</exception>
    public void Write(string traceId, ReadOnlySpan<byte> document)
    {
        Directory.CreateDirectory(folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        using var file = new FileStream(PathOf(traceId), new FileStreamOptions
        {
            Mode = FileMode.CreateNew, Access = FileAccess.Write, BufferSize = 0, UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
        });
        file.Write(document);
    }

    /// <summary>Deletes a job's file, if it is there.</summary>
    public void Delete(string traceId)
    {
        try
        {
            File.Delete(PathOf(traceId));
        }
        catch (IOException)
        {
            // The service's end removes the folder.
        }
    }

    /// <summary>Deletes what a proxy left that was killed: files of jobs that no unit runs. Leaves all where systemd cannot be asked.</summary>
    public async Task CleanAsync(SystemdBus bus, TimeProvider time)
    {
        try
        {
            var limit = (time.GetUtcNow() - Fresh).UtcDateTime;
            var old = Directory.Exists(folder) ? Array.FindAll(Directory.GetFiles(folder), file => File.GetLastWriteTimeUtc(file) < limit) : [];
            if (old.Length == 0) return;
            var running = await (await bus.LinkAsync().ConfigureAwait(false)).InstancesAsync().ConfigureAwait(false);
            foreach (var file in old)
                if (!running.Contains(Path.GetFileNameWithoutExtension(file))) File.Delete(file);
        }
        catch (Exception problem) when (problem is DBusExceptionBase or IOException or UnauthorizedAccessException or ObjectDisposedException)
        {
            // They stay until the service ends, which removes the folder.
        }
    }

    private string PathOf(string traceId) => Path.Combine(folder, traceId + Ending);
}
