using System.Globalization;
using System.Runtime.InteropServices;

namespace Proxy.Config;

/// <summary>The path of the running proxy's admin socket. The server that creates it and the commands that connect to it compute it in the same way.</summary>
internal static partial class AdminSocket
{
    private const string Variable = "PROXY_ADMIN_SOCKET";

    /// <summary>
    /// <c>$PROXY_ADMIN_SOCKET</c>, else <c>admin.sock</c> in the service's runtime folder, else <c>proxy/admin.sock</c> in the user's, else a folder of the
    /// user's own in /tmp. The folder need not exist; the process that creates it makes it private (0700).
    /// </summary>
    public static string Path(Func<string, string?>? environment = null)
    {
        environment ??= Environment.GetEnvironmentVariable;
        if (Set(Variable) is { } path) return path;
        // systemd may list several runtime directories, separated by colons; the first is the proxy's.
        if (Set("RUNTIME_DIRECTORY") is { } service) return System.IO.Path.Combine(service.Split(':')[0], "admin.sock");
        if (Set("XDG_RUNTIME_DIR") is { } user) return System.IO.Path.Combine(user, "proxy", "admin.sock");
        return string.Create(CultureInfo.InvariantCulture, $"/tmp/proxy-{UserId()}/admin.sock");

        string? Set(string name) => environment(name) is { Length: > 0 } value ? value : null;
    }

    /// <summary>
    /// The paths that a command tries: the one that was set; else its own, then the packaged service's, because a shell does not have the service's
    /// environment.
    /// </summary>
    public static IReadOnlyList<string> Candidates(Func<string, string?>? environment = null)
    {
        environment ??= Environment.GetEnvironmentVariable;
        return environment(Variable) is { Length: > 0 } path ? [path] : [.. new[] { Path(environment), "/run/proxy/admin.sock" }.Distinct()];
    }

    [LibraryImport("libc", EntryPoint = "getuid")]
    private static partial uint UserId();
}
