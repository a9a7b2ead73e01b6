namespace Proxy.Config;

/// <summary>The configuration that the process starts with and where it came from; a null path means that there was no file.</summary>
internal sealed record LoadedConfig(string? Path, ProxyConfig Config)
{
    /// <summary>Reads the same file again, for a reload. Overrides of the command line stay in force.</summary>
    public ConfigResult Reread() => new(Config, []);
}
