namespace Proxy.Config;

/// <summary>The configuration that the process starts with and the path of its file; null if there was no file.</summary>
internal sealed record LoadedConfig(string? Path, ProxyConfig Config)
{
    /// <summary>What the configuration was read with, the command line's overrides included, so that a reload keeps them.</summary>
    public ConfigSources Sources { get; init; } = new();

    /// <summary>Reads the same file again, for a reload. This alone changes nothing.</summary>
    public ConfigResult Reread() => ConfigFile.Load(Path, Sources);
}
