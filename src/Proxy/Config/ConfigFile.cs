namespace Proxy.Config;

/// <summary>Finds the configuration file and reads it.</summary>
internal static class ConfigFile
{
    /// <summary>
    /// The file to read: the one given, else <c>$PROXY_CONFIG</c>, else the first that exists of <c>./config.toml</c>, <c>proxy/config.toml</c> in the XDG
    /// configuration folder and <c>/etc/proxy/config.toml</c>. Null if there is none. A file that was given is returned even if it does not exist, so that no
    /// other file is used in its place.
    /// </summary>
    public static string? Find(string? explicitPath, Func<string, string?>? environment = null)
    {
        environment ??= Environment.GetEnvironmentVariable;
        if (explicitPath is not null) return explicitPath;
        if (Set("PROXY_CONFIG") is { } named) return named;

        var home = Set("XDG_CONFIG_HOME") ?? (Set("HOME") is { } folder ? Path.Combine(folder, ".config") : null);
        string?[] places = ["config.toml", home is null ? null : Path.Combine(home, "proxy", "config.toml"), "/etc/proxy/config.toml"];
        return places.FirstOrDefault(File.Exists);

        string? Set(string name) => environment(name) is { Length: > 0 } value ? value : null;
    }

    /// <summary>Reads the file, or the environment if the path is null.</summary>
    public static ConfigResult Load(string? path, ConfigSources sources)
    {
        var draft = LoadDraft(path, sources, out var problems);
        return new(problems.Count == 0 ? draft : null, problems);
    }

    /// <summary>The same, but returns a configuration even if there are problems (see <see cref="ConfigReader.ReadDraft"/>).</summary>
    public static ProxyConfig LoadDraft(string? path, ConfigSources sources, out IReadOnlyList<ConfigProblem> problems)
    {
        if (path is null) return ConfigReader.ReadEnvironment(sources, out problems);

        try
        {
            var full = Path.GetFullPath(path);
            return ConfigReader.ReadDraft(sources.ReadText(full), sources with { Folder = Path.GetDirectoryName(full) ?? "/" }, out problems);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            problems = [new("", 0, "there is no such file")];
        }
        catch (NotUtf8Exception e)
        {
            problems = [new("", e.Line, e.Message)];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            problems = [new("", 0, $"cannot be read: {e.Message}")];
        }

        return new();
    }
}
