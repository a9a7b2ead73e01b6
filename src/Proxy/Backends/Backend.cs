using Proxy.Chat;
using Proxy.Config;
using Proxy.Transport;

namespace Proxy.Backends;

/// <summary>A backend of one configuration: immutable but for its <see cref="State"/>, which it shares with its namesakes before and after a reload.</summary>
internal sealed class Backend(BackendConfig config, BackendState state, UpstreamClient? upstream, Func<DialectName, BackendDialect?> dialects)
{
    private static readonly DialectFamily[] OllamaAlone = [DialectFamily.Ollama];
    private static readonly DialectFamily[] OpenAiAlone = [DialectFamily.OpenAi];
    private static readonly DialectFamily[] EveryChat = [DialectFamily.OpenAi, DialectFamily.Responses, DialectFamily.Ollama, DialectFamily.Anthropic];

    /// <summary>A header whose name has one of these carries a credential.</summary>
    private static readonly string[] CredentialNames = ["auth", "key", "token", "secret", "cookie", "password", "credential"];

    private readonly string basePath = BasePath(config.Url);

    public string Name => config.Name;
    public BackendConfig Config => config;
    public BackendState State => state;

    /// <summary>The one inside this program, which has no host.</summary>
    public bool IsEcho { get; } = config.Url == BackendConfig.BuiltinEcho;

    /// <summary>What its errors must not tell; null where it is shown no credential.</summary>
    public HostSecrets? Secrets { get; } = SecretsOf(config);

    /// <summary>Only a backend with a host has one.</summary>
    public UpstreamClient Upstream => upstream ?? throw new InvalidOperationException($"backend '{Name}' has no host");

    /// <summary>Of the configuration that is current now, not of this backend's own: a call that waits through a reload waits for the new number.</summary>
    public int? Slots => state.Slots;

    /// <summary>What it speaks: as configured, else as it said itself, else (never reached yet) OpenAI. The one inside speaks whatever is chatted in.</summary>
    public IReadOnlyList<DialectFamily> Families => IsEcho ? EveryChat : config.Dialects ?? state.Report?.Dialects ?? OpenAiAlone;

    /// <summary>The client's own dialect, when this backend speaks it.</summary>
    public BackendDialect? Native(DialectName client) => Family(client) is { } wanted && Reaches(wanted) ? dialects(client) : null;

    /// <summary>What the host said of a model, by the name it is asked for, with <c>:latest</c> or without; null where it said nothing.</summary>
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

    /// <summary>The service of Anthropic itself, which checks what an agent puts into its prompts.</summary>
    public bool IsAnthropicsOwn { get; } = Uri.TryCreate(config.Url, UriKind.Absolute, out var url)
        && url.Host.EndsWith(".anthropic.com", StringComparison.OrdinalIgnoreCase);

    /// <summary>The id of the proxy that its host is; null where it is a model host, or was never reached.</summary>
    public string? ProxyId => state.Report?.ProxyId;

    /// <summary>Its host is another proxy, which takes every call as a client makes it.</summary>
    public bool IsProxy => ProxyId is not null;

    /// <summary>It is reached by Ollama's own API.</summary>
    public bool IsOllama => !IsEcho && Families.Contains(DialectFamily.Ollama);

    /// <summary>The client's own dialect when this backend speaks it, else the one it is best reached by; null when it does not chat at all.</summary>
    /// <param name="client">The dialect of the call.</param>
    /// <param name="continues">The call is a text to be continued: whatever family comes first, one that takes prompts is better than a chat.</param>
    public BackendDialect? DialectFor(DialectName client, bool continues = false)
    {
        if (Native(client) is { } same) return same;
        return (continues ? First(WithPrompts) : null) ?? First(Preferred);
    }

    /// <summary>The path of a request to this host: the url's own path first, a trailing <c>/v1</c> not doubled.</summary>
    public string PathOf(string path)
    {
        if (basePath.Length == 0) return path;
        // People copy an SDK's base url: its /v1 is no folder of the host, and Ollama's own API stands beside it.
        return basePath.EndsWith("/v1", StringComparison.Ordinal) ? basePath[..^"/v1".Length] + path : basePath + path;
    }

    // An Ollama host is reached by its own API even where it offers OpenAI's: only there is num_ctx honoured. A proxy translates for it.
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

    /// <summary>The credentials that a backend's host is shown; null where it is shown none.</summary>
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
