namespace Proxy.Config;

/// <summary>The folder of what the proxy keeps from one start to the next. Computed from the environment, without a setting.</summary>
internal static class StateDirectory
{
    /// <summary>The service's state folder, else <c>proxy</c> in the user's data folder; null if there is neither. It need not exist.</summary>
    public static string? Find(Func<string, string?> environment)
    {
        // systemd may list several folders, separated by colons; the first is the proxy's.
        if (Set("STATE_DIRECTORY")?.Split(':')[0] is { } service) return Rooted(service);
        var data = Set("XDG_DATA_HOME") ?? (Set("HOME") is { } home ? Path.Combine(home, ".local", "share") : null);
        return data is null ? null : Rooted(Path.Combine(data, "proxy"));

        string? Set(string name) => environment(name) is { Length: > 0 } value ? value : null;

        static string? Rooted(string folder) => Path.IsPathRooted(folder) ? folder : null;
    }
}
