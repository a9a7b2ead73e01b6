using Proxy.Chat;
using Proxy.Config;
using Proxy.Transport;

namespace Proxy.Backends;

/// <summary>
/// A backend of one configuration. It is immutable except for its <see cref="State"/>, which backends of the same name and url share across reloads.
/// </summary>
internal sealed class Backend(BackendConfig config, BackendState state, UpstreamClient? upstream, Func<DialectName, BackendDialect?> dialects)
{
    private static readonly DialectFamily[] OllamaAlone = [DialectFamily.Ollama];
    private static readonly DialectFamily[] OpenAiAlone = [DialectFamily.OpenAi];
    private static readonly DialectFamily[] EveryChat = [DialectFamily.OpenAi, DialectFamily.Responses, DialectFamily.Ollama, DialectFamily.Anthropic];

    /// <summary>A header whose name contains one of these carries a credential.</summary>
    private static readonly string[] CredentialNames = ["auth", "key", "token", "secret", "cookie", "password", "credential"];

    private readonly string basePath = BasePath(config.Url);

    public string Name => config.Name;
    public BackendConfig Config => config;
    public BackendState State => state;

    /// <summary>The built-in echo, which has no host.</summary>
    public bool IsEcho { get; } = config.Url == BackendConfig.BuiltinEcho;

    /// <summary>The credentials that error messages must not show; null if its host gets none.</summary>
    public HostSecrets? Secrets { get; } = SecretsOf(config);

    /// <summary>The client for its host. Throws for the built-in echo, which has none.</summary>
    public UpstreamClient Upstream => upstream ?? throw new InvalidOperationException($"backend '{Name}' has no host");

    /// <summary>The number of the current configuration, so that a call which waits during a reload waits for the new number.</summary>
    public int? Slots => state.Slots;

    /// <summary>
    /// The families that it speaks: as configured, else as its host reported, else (never reached yet) OpenAI. The echo takes every chat dialect.
    /// </summary>
    public IReadOnlyList<DialectFamily> Families => IsEcho ? EveryChat : config.Dialects ?? state.Report?.Dialects ?? OpenAiAlone;

    /// <summary>The names of those families, as a backend's <c>dialects</c> list them.</summary>
    public IEnumerable<string> FamilyNames => Families.Select(static family => family.Name());

    /// <summary>The client's own dialect, if this backend speaks it; else null.</summary>
    public BackendDialect? Native(DialectName client) => Family(client) is { } wanted && Reaches(wanted) ? dialects(client) : null;

    /// <summary>What the host reported about a model, by its name with <c>:latest</c> or without; null if the host does not list it.</summary>
    public HostModel? Learned(string served)
    {
        HostModel? tagged = null;
        foreach (var model in state.Report?.Models ?? [])
        {
            if (model.Name == served) return model;
            if (ModelName.Same(model.Name, served)) tagged = model;
        }

        return tagged;
    }

    /// <summary>Whether the host is Anthropic's own service, which checks the text that an agent puts into its prompts.</summary>
    public bool IsAnthropicsOwn { get; } = Uri.TryCreate(config.Url, UriKind.Absolute, out var url)
        && url.Host.EndsWith(".anthropic.com", StringComparison.OrdinalIgnoreCase);

    /// <summary>The id of the proxy that is its host; null for a model host, or if it was never reached.</summary>
    public string? ProxyId => state.Report?.ProxyId;

    /// <summary>Whether its host is another proxy, which takes every call as a client makes it.</summary>
    public bool IsProxy => ProxyId is not null;

    /// <summary>Whether it is called through Ollama's own API.</summary>
    public bool IsOllama => !IsEcho && Families.Contains(DialectFamily.Ollama);

    /// <summary>The client's own dialect if this backend speaks it, else the best one to translate into; null if the backend does not chat at all.</summary>
    /// <param name="client">The dialect of the call.</param>
    /// <param name="continues">The call is a text to be continued: a family that takes prompts is preferred to a chat, whatever the order of the
    /// families.</param>
    public BackendDialect? DialectFor(DialectName client, bool continues = false)
    {
        if (Native(client) is { } same) return same;
        return (continues ? First(WithPrompts) : null) ?? First(Preferred);
    }

    /// <summary>The path of a request to this host: the path of its url, then the given one, with a repeated <c>/v1</c> left out.</summary>
    public string PathOf(string path)
    {
        if (basePath.Length == 0) return path;
        // Users copy an SDK's base url. Its /v1 is not a folder of the host, and Ollama's own API is beside it.
        return basePath.EndsWith("/v1", StringComparison.Ordinal) ? basePath[..^"/v1".Length] + path : basePath + path;
    }

    // An Ollama host is called through its own API even if it offers OpenAI's too, because only its own API honours num_ctx. A proxy translates by itself.
    private IReadOnlyList<DialectFamily> Reached => config.Dialects is null && !IsProxy && Families.Contains(DialectFamily.Ollama) ? OllamaAlone : Families;

    private bool Reaches(DialectFamily wanted)
    {
        var reached = Reached;
        for (var i = 0; i < reached.Count; i++)
        {
            if (reached[i] == wanted) return true;
        }

        return false;
    }

    private BackendDialect? First(Func<DialectFamily, DialectName?> choose)
    {
        foreach (var family in Reached)
        {
            if (choose(family) is { } name && dialects(name) is { } dialect) return dialect;
        }

        return null;
    }

    /// <summary>The credentials that a backend's host gets; null if it gets none.</summary>
    public static HostSecrets? SecretsOf(BackendConfig config) => HostSecrets.Of(
        config.Headers.Where(static header => CredentialNames.Any(word => header.Key.Contains(word, StringComparison.OrdinalIgnoreCase)))
            .Select(static header => header.Value).Append(config.Key ?? ""));

    private static string BasePath(string url) => Uri.TryCreate(url, UriKind.Absolute, out var address) ? address.AbsolutePath.TrimEnd('/') : "";

    private static DialectFamily? Family(DialectName name) => name switch
    {
        DialectName.OpenAiChat or DialectName.OpenAiCompletions => DialectFamily.OpenAi,
        DialectName.OpenAiResponses => DialectFamily.Responses,
        DialectName.OllamaChat or DialectName.OllamaGenerate => DialectFamily.Ollama,
        DialectName.Anthropic => DialectFamily.Anthropic,
        _ => null,
    };

    private static DialectName? Preferred(DialectFamily family) => family switch
    {
        DialectFamily.OpenAi => DialectName.OpenAiChat,
        DialectFamily.Ollama => DialectName.OllamaChat,
        DialectFamily.Anthropic => DialectName.Anthropic,
        DialectFamily.Responses => DialectName.OpenAiResponses,
        _ => null,
    };

    private static DialectName? WithPrompts(DialectFamily family) => family switch
    {
        DialectFamily.OpenAi => DialectName.OpenAiCompletions,
        DialectFamily.Ollama => DialectName.OllamaGenerate,
        _ => null,
    };
}
