namespace Proxy.Config;

/// <summary>
/// The folder of downloaded models. The commands that download models and the configuration that names them compute it in the same way, without a setting.
/// </summary>
internal static class ModelsFolder
{
    /// <summary>The packaged service's folder, because a shell does not have the service's environment.</summary>
    private const string Packaged = "/var/lib/proxy/models";

    /// <summary>
    /// <c>models</c> in the service's state folder, else <c>proxy/models</c> in the user's data folder; null if there is neither. It need not exist.
    /// </summary>
    public static string? Find(Func<string, string?> environment)
    {
        // systemd may list several folders, separated by colons; the first is the proxy's.
        if (Set("STATE_DIRECTORY")?.Split(':')[0] is { } service) return Rooted(Path.Combine(service, "models"));
        var data = Set("XDG_DATA_HOME") ?? (Set("HOME") is { } home ? Path.Combine(home, ".local", "share") : null);
        return data is null ? null : Rooted(Path.Combine(data, "proxy", "models"));

        string? Set(string name) => environment(name) is { Length: > 0 } value ? value : null;

        static string? Rooted(string folder) => Path.IsPathRooted(folder) ? folder : null;
    }

    /// <summary>
    /// The folder that a model's path means: relative to the configuration's folder or, if that does not exist, to the folder of downloaded models.
    /// </summary>
    public static string Resolve(string path, ConfigSources sources)
    {
        var beside = Path.GetFullPath(path, sources.Folder);
        if (Path.IsPathRooted(path) || sources.HasFolder(beside)) return beside;
        return new[] { Find(sources.Environment), Packaged }.OfType<string>().Select(models => Path.GetFullPath(path, models)).FirstOrDefault(sources.HasFolder)
            ?? beside;
    }
}
