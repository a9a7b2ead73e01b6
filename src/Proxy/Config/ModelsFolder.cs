namespace Proxy.Config;

/// <summary>
/// The folder of downloaded models. The commands that download models and the configuration that names them compute it in the same way, without a setting.
/// </summary>
internal static class ModelsFolder
{
    /// <summary>The packaged service's folder, because a shell does not have the service's environment.</summary>
    private const string Packaged = "/var/lib/proxy/models";

    /// <summary><c>models</c> in the <see cref="StateDirectory"/>; null if there is none. It need not exist.</summary>
    public static string? Find(Func<string, string?> environment) =>
        StateDirectory.Find(environment) is { } state ? Path.Combine(state, "models") : null;

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
