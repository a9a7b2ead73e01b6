using System.Globalization;
using System.Runtime.InteropServices;

namespace Proxy.Config;

/// <summary>Where the running proxy's admin socket is. The server that makes it and the commands that ask it must agree without a key or a setting.</summary>
internal static partial class AdminSocket
{
    private const string Variable = "PROXY_ADMIN_SOCKET";

    /// <summary>
    /// <c>$PROXY_ADMIN_SOCKET</c>, else <c>admin.sock</c> in the service's runtime folder, else <c>proxy/admin.sock</c> in the user's, else a folder of the
    /// user's own in /tmp.
    /// The folder need not exist; whoever makes it makes it private (0700).
    /// </summary>
    public static string Path(Func<string, string?>? environment = null)
    {
        environment ??= Environment.GetEnvironmentVariable;
        if (Set(Variable) is { } path) return path;
        // systemd lists several runtime directories with a colon between; the first is ours.
        if (Set("RUNTIME_DIRECTORY") is { } service) return System.IO.Path.Combine(service.Split(':')[0], "admin.sock");
        if (Set("XDG_RUNTIME_DIR") is { } user) return System.IO.Path.Combine(user, "proxy", "admin.sock");
        return string.Create(CultureInfo.InvariantCulture, $"/tmp/proxy-{UserId()}/admin.sock");

        string? Set(string name) => environment(name) is { Length: > 0 } value ? value : null;
    }

    /// <summary>
    /// Where a command looks: the path that was set; else the own path, then the packaged service's, whose environment a shell does not have.
    /// </summary>
    public static IReadOnlyList<string> Candidates(Func<string, string?>? environment = null)
    {
        environment ??= Environment.GetEnvironmentVariable;
        return environment(Variable) is { Length: > 0 } path ? [path] : [.. new[] { Path(environment), "/run/proxy/admin.sock" }.Distinct()];
    }

    [LibraryImport("libc", EntryPoint = "getuid")]
    private static partial uint UserId();
}
