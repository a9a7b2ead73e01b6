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
    public static void RequireTree()
    {
        Machine.NeedsNamespaces();
        Assert.SkipUnless(File.Exists("/usr/sbin/debootstrap"), "needs debootstrap: ./build.sh setup test");
    }

    /// <summary>Skips the test, with the reason, if such a system cannot be made or there is no published binary to run in it.</summary>
    public static void Require()
    {
        RequireTree();
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
    /// <param name="release">Debian's name of the release.</param>
    /// <param name="more">Packages that it has besides systemd and D-Bus.</param>
    public static Task<string> WithSystemdAsync(string release, params string[] more)
    {
        string[] packages = ["systemd", "systemd-sysv", "dbus", .. more];
        return Made(string.Join('-', ["systemd", release, .. more]), folder => DebootstrapAsync(release, folder, "--include=" + string.Join(',', packages)));
    }

    /// <summary>A Debian with packages, which are installed without being started.</summary>
    /// <param name="name">The folder's name. It must change with the packages.</param>
    /// <param name="release">Debian's name of the release.</param>
    /// <param name="packages">The packages and what they depend on.</param>
    public static Task<string> WithPackagesAsync(string name, string release, params string[] packages) => Made(name, async folder =>
    {
        await DebootstrapAsync(release, folder);
        var rule = Path.Combine(folder, "usr/sbin/policy-rc.d");
        await File.WriteAllTextAsync(rule, "#!/bin/sh\nexit 101\n"); // refuses to start a service
        File.SetUnixFileMode(rule, UnixFileMode.UserRead | UnixFileMode.UserExecute);
        Directory.CreateDirectory(Path.Combine(folder, "etc/postgresql-common"));
        await File.WriteAllTextAsync(Path.Combine(folder, "etc/postgresql-common/createcluster.conf"), "create_main_cluster = false\n");

        const string Install = """
            mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" || exit
            export DEBIAN_FRONTEND=noninteractive
            chroot "$0" apt-get -o Acquire::Languages=none -o Acquire::Check-Valid-Until=false update || exit
            chroot "$0" apt-get install -y --no-install-recommends "$@" && chroot "$0" apt-get clean
            """;
        await Command.RunAsync("unshare", ["--mount", "--propagation", "private", "sh", "-c", Install, folder, .. packages]);
    });

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
        // debootstrap does not know releases that are newer than itself; its recipe for "sid" is the one for all of them.
        string[] recipe = File.Exists($"/usr/share/debootstrap/scripts/{release}") ? [] : ["/usr/share/debootstrap/scripts/sid"];
        if ((await Command.TryAsync("debootstrap", [.. before, mirror, .. recipe])).ExitCode == 0) return;

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
