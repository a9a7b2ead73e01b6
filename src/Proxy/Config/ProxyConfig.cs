namespace Proxy.Config;

/// <summary>The whole file, checked: what the rest of the program is built from. The defaults are what an empty file means.</summary>
internal sealed record ProxyConfig
{
    public ServerConfig Server { get; init; } = new();

    /// <summary>The model hosts, in the file's order. Never empty: a file without one means the built-in echo, so that a fresh copy answers.</summary>
    public IReadOnlyList<BackendConfig> Backends { get; init; } = [BackendConfig.Echo];

    /// <summary>Name of the backend that gets what no other rule claims. Unset, an unknown model is refused.</summary>
    public string? DefaultBackend { get; init; }

    /// <summary>Model names of our own: what the client may ask for, and the model that is meant. Looked up once, before every other rule.</summary>
    public IReadOnlyDictionary<string, string> Aliases { get; init; } = new Dictionary<string, string>();

    public AuthConfig Auth { get; init; } = new();

    public InferenceConfig Inference { get; init; } = new();

    public LogConfig Log { get; init; } = new();
}
