namespace Proxy.Config;

/// <summary>The configuration that the process starts with and where it came from; a null path means that there was no file.</summary>
internal sealed record LoadedConfig(string? Path, ProxyConfig Config)
{
    /// <summary>What it was read with; the command line's overrides among it, so that they stay in force.</summary>
    public ConfigSources Sources { get; init; } = new();

    /// <summary>Reads the same file again, for a reload. Nothing changes by it.</summary>
    public ConfigResult Reread() => ConfigFile.Load(Path, Sources);
}
