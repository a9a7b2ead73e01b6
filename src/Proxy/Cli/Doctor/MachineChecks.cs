using System.Globalization;
using System.Runtime.InteropServices;
using Proxy.Config;

namespace Proxy.Cli.Doctor;

/// <summary>The machine: free space, the clock, how many files may be open.</summary>
internal static partial class MachineChecks
{
    /// <summary>A database, a spool or a cache that runs into a full disk loses data; this leaves time to act.</summary>
    private const long FewBytes = 2L << 30, TooFewBytes = 256L << 20;

    /// <summary>A stream uses two descriptors; a busy box has thousands of streams.</summary>
    private const long FewFiles = 8192;

    /// <summary>Size of <c>struct timex</c> with room to spare, and the offsets of two of its members on 64-bit machines.</summary>
    private const int TimexSize = 256, MaxErrorAt = 24, StatusAt = 40;

    private const int Unsynchronised = 0x40; // STA_UNSYNC

    public static IEnumerable<DoctorCheck> Of(Installation installation) =>
    [
        DoctorCheck.Of("disk", "free space", () => Disk(installation)),
        DoctorCheck.Of("clock", "the clock", () => [Clock()]),
        DoctorCheck.Of("files", "the limit of open files", () => [Files(installation)]),
    ];

    private static IEnumerable<Finding> Disk(Installation installation)
    {
        string?[] named = [installation.StateFolder, installation.Environment("CACHE_DIRECTORY")?.Split(':')[0], "/tmp"];
        var seen = new HashSet<string>();
        foreach (var folder in named.OfType<string>())
        {
            var existing = folder;
            while (!Directory.Exists(existing) && Path.GetDirectoryName(existing) is { } parent) existing = parent;
            Finding finding;
            try
            {
                var drive = new DriveInfo(existing);
                if (!seen.Add(string.Create(CultureInfo.InvariantCulture, $"{drive.TotalSize} {drive.TotalFreeSpace}"))) continue; // on the same file system
                finding = Space(folder, drive.AvailableFreeSpace);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                finding = new(Mark.Warn, $"{folder}: {e.Message}", "run this command as root or as the user of the proxy");
            }

            yield return finding;
        }
    }

    internal static Finding Space(string folder, long free)
    {
        var text = $"{folder}: {Amount(free)} free";
        return free >= FewBytes ? Finding.Ok(text)
            : new(free < TooFewBytes ? Mark.Fail : Mark.Warn, text, "free some space: records and documents that cannot be written are lost or refused");
    }

    internal static Finding Files(Installation installation)
    {
        if (installation.Running.OpenFiles() is { } limit) return Files(limit, "the running proxy");
        return RunningProxy.OpenFiles(File.ReadAllText("/proc/self/limits")) is { } own
            ? Files(own, "a proxy started from this shell")
            : new(Mark.Warn, "the limit of open files cannot be read", "look at /proc/self/limits");
    }

    internal static Finding Files(long limit, string who)
    {
        var text = limit == long.MaxValue ? $"{who} may have any number of files open"
            : string.Create(CultureInfo.InvariantCulture, $"{who} may have {limit:N0} files open");
        return limit >= FewFiles ? Finding.Ok(text)
            : new(Mark.Warn, text, "a stream needs two: set LimitNOFILE=524288 in the unit, or `ulimit -Hn` in the shell that starts the proxy");
    }

    private static Finding Clock()
    {
        var timex = new byte[TimexSize]; // modes = 0: only read
        var state = Adjust(timex);
        return Clock(state, BitConverter.ToInt32(timex, StatusAt), BitConverter.ToInt64(timex, MaxErrorAt));
    }

    /// <param name="state">What <c>adjtimex</c> returned; -1 if it failed.</param>
    /// <param name="status">Its status bits.</param>
    /// <param name="error">The largest error, in microseconds.</param>
    internal static Finding Clock(int state, int status, long error) =>
        state < 0 ? new(Mark.Warn, "the kernel does not say whether the clock is right", "compare `date` with another machine")
        : (status & Unsynchronised) != 0
            ? new(Mark.Warn, "the clock is not synchronised; times in records and expiry of what is kept may be wrong",
                "start a time service (`timedatectl set-ntp true`); in a container, do so on its host")
        : Finding.Ok(string.Create(CultureInfo.InvariantCulture, $"synchronised, at most {error / 1000.0:0.#} ms wrong"));

    private static string Amount(long bytes) =>
        bytes >= 1L << 30 ? (bytes / (double)(1L << 30)).ToString("0.0 GiB", CultureInfo.InvariantCulture)
            : (bytes >> 20).ToString("0 MiB", CultureInfo.InvariantCulture);

    [LibraryImport("libc", EntryPoint = "adjtimex")]
    private static partial int Adjust(byte[] timex);
}
