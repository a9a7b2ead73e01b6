using System.Collections.Concurrent;

namespace Proxy.Tests.Harness;

/// <summary>
/// Debian systems as folders, made once by debootstrap and kept under <c>.build/</c>. Making one takes half a minute.
/// </summary>
internal static class DebianTree
{
    static readonly ConcurrentDictionary<string, Lazy<Task<string>>> Trees = new();

    /// <summary>Libraries that a minimal machine lacks; debootstrap installs some of them for apt.</summary>
    static readonly string[] Bare = ["libssl*", "libcrypto*", "libicu*", "libstdc++*", "libgcc_s*"];

    /// <summary>Skips the test, with the reason, if such a system cannot be made.</summary>
    public static void Require()
    {
        Machine.NeedsNamespaces();
        Assert.SkipUnless(File.Exists("/usr/sbin/debootstrap"), "needs debootstrap: ./build.sh setup test");
        Assert.SkipUnless(Binary is not null, "needs the published binary: ./build.sh test without --quick");
    }

    /// <summary>The published binary; null if the tests run the debug build.</summary>
    public static string? Binary => Environment.GetEnvironmentVariable("PROXY_BINARY") is { Length: > 0 } path ? Path.GetFullPath(path) : null;

    /// <summary>A Debian of the smallest variant without any TLS, Unicode or C++ library.</summary>
    public static Task<string> BareAsync(string release) => Made($"bare-{release}", async folder =>
    {
        await DebootstrapAsync(release, folder);
        foreach (var file in Bare.SelectMany(pattern => Directory.EnumerateFiles(folder, pattern, Everywhere)).ToArray()) File.Delete(file);
    });

    /// <summary>A Debian that can be booted.</summary>
    public static Task<string> WithSystemdAsync(string release) =>
        Made($"systemd-{release}", folder => DebootstrapAsync(release, folder, "--include=systemd,systemd-sysv,dbus"));

    /// <summary>The libraries in <paramref name="folder"/> that a minimal machine must not have.</summary>
    public static IEnumerable<string> Strangers(string folder) =>
        Bare.SelectMany(pattern => Directory.EnumerateFiles(folder, pattern, Everywhere));

    static EnumerationOptions Everywhere => new() { RecurseSubdirectories = true, AttributesToSkip = FileAttributes.ReparsePoint };

    static Task<string> Made(string name, Func<string, Task> make) => Trees.GetOrAdd(name, _ => new(async () =>
    {
        var folder = Path.Combine(Root(), ".build", "boxes", name);
        if (Directory.Exists(folder)) return folder;

        var making = folder + ".making";
        if (Directory.Exists(making)) Directory.Delete(making, recursive: true);
        Directory.CreateDirectory(making);
        await make(making);
        Directory.Move(making, folder);
        return folder;
    })).Value;

    static async Task DebootstrapAsync(string release, string folder, params string[] options)
    {
        var mirror = Environment.GetEnvironmentVariable("DEBIAN_MIRROR") is { Length: > 0 } chosen ? chosen : "http://deb.debian.org/debian";
        string[] before = ["--variant=minbase", .. options, release, folder];
        if ((await Command.TryAsync("debootstrap", [.. before, mirror])).ExitCode == 0) return;

        Directory.Delete(folder, recursive: true);
        await Command.RunAsync("debootstrap", [.. before, "http://archive.debian.org/debian"]); // old releases are moved there
    }

    static string Root()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
            if (File.Exists(Path.Combine(folder.FullName, "Proxy.sln")))
                return folder.FullName;
        throw new InvalidOperationException("the tests do not run inside the repository");
    }
}
