namespace Proxy.Config;

/// <summary>The whole file, checked. The rest of the program is built from it. The defaults are the meaning of an empty file.</summary>
internal sealed record ProxyConfig
{
    public ServerConfig Server { get; init; } = new();

    /// <summary>The model hosts, in the file's order. Never empty: without one, the built-in echo is used, so that a new installation answers.</summary>
    public IReadOnlyList<BackendConfig> Backends { get; init; } = [BackendConfig.Echo];

    /// <summary>Name of the backend for models that no other rule matches. If it is null, an unknown model is refused.</summary>
    public string? DefaultBackend { get; init; }

    /// <summary>Aliases: the name that a client asks for, and the model that serves it. Looked up once, before every other rule.</summary>
    public IReadOnlyDictionary<string, string> Aliases { get; init; } = new Dictionary<string, string>();

    public AuthConfig Auth { get; init; } = new();

    public InferenceConfig Inference { get; init; } = new();

    public StreamsConfig Streams { get; init; } = new();

    /// <summary>Null: calls are remembered in memory only.</summary>
    public StoreConfig? Store { get; init; }

    /// <summary>Null: nothing is published.</summary>
    public NatsConfig? Nats { get; init; }

    /// <summary>Null: no answer is given twice.</summary>
    public CacheConfig? Cache { get; init; }

    public KnowledgeConfig Knowledge { get; init; } = new();

    /// <summary>Workflows that answer chats, in the file's order.</summary>
    public IReadOnlyList<PipelineConfig> Pipelines { get; init; } = [];

    public MetricsConfig Metrics { get; init; } = new();

    public LogConfig Log { get; init; } = new();
}
