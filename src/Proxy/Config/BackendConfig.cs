namespace Proxy.Config;

/// <summary>One <c>[[backends]]</c> entry: a model host, how to reach it and what it serves.</summary>
internal sealed record BackendConfig
{
    /// <summary>The url of the built-in backend, which repeats the last user message.</summary>
    public const string BuiltinEcho = "builtin:echo";

    /// <summary>The backend that is used if the file has none.</summary>
    public static BackendConfig Echo { get; } = new() { Name = "echo", Url = BuiltinEcho, Models = ["echo"] };

    /// <summary>Unique; the backend's name in logs, metrics and <c>default_backend</c>.</summary>
    public required string Name { get; init; }

    /// <summary>The host's url: <c>http://</c> or <c>https://</c>, with a path if it has one, or <see cref="BuiltinEcho"/>.</summary>
    public required string Url { get; init; }

    /// <summary>The families of dialects that the host speaks. Null: the proxy asks the host.</summary>
    public IReadOnlyList<DialectFamily>? Dialects { get; init; }

    /// <summary>
    /// Model names that start with one of these (or match it, if it contains <c>*</c> or <c>?</c>) are served here. The longest match wins; the name is passed
    /// on
    /// unchanged.
    /// </summary>
    public IReadOnlyList<string> Prefixes { get; init; } = [];

    /// <summary>Exact model names that this host serves, whether or not it lists them.</summary>
    public IReadOnlyList<string> Models { get; init; } = [];

    /// <summary>Whether the host also serves the names that it lists. False: only <see cref="Models"/> and <see cref="Prefixes"/>.</summary>
    public bool Learn { get; init; } = true;

    /// <summary>Generations that the host runs at a time. Null means no limit.</summary>
    public int? Slots { get; init; }

    /// <summary>Share of the calls among backends that are equally free.</summary>
    public int Weight { get; init; } = 1;

    /// <summary>
    /// The proxy's credential for the host, already read from <c>key</c> or <c>key_file</c>. A client's credential is never sent to the host.
    /// </summary>
    public string? Key { get; init; }

    /// <summary>Headers added to every request to the host.</summary>
    public IReadOnlyDictionary<string, string> Headers { get; init; } = new Dictionary<string, string>();

    /// <summary>PEM file with the certificate authorities to trust for this host.</summary>
    public NamedFile? Ca { get; init; }

    /// <summary>False accepts any certificate: for a test machine, never for a network.</summary>
    public bool TlsVerify { get; init; } = true;

    /// <summary>
    /// Ask an OpenAI host for the token counts of every stream, for the log and the metrics; a client that did not ask for them does not get them. Set it to
    /// false for a host that refuses <c>stream_options</c>.
    /// </summary>
    public bool StreamUsage { get; init; } = true;

    /// <summary>Time for name lookup, connection and TLS.</summary>
    public TimeSpan Connect { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>
    /// Time from the request to the first token of a stream, waiting in the proxy's queue included. Long, because a large prompt takes minutes.
    /// </summary>
    public TimeSpan FirstToken { get; init; } = TimeSpan.FromSeconds(300);

    /// <summary>Silence allowed between two tokens. Not a limit on the whole answer.</summary>
    public TimeSpan Idle { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>Limit on a whole answer, streaming or not. Null, the default, means no limit, because a long answer is not an error.</summary>
    public TimeSpan? Total { get; init; }

    public BackendOptions Options { get; init; } = new();
}

/// <summary>Options that are sent to the host with every call: <c>options = { num_ctx = 32768 }</c>.</summary>
internal sealed record BackendOptions
{
    /// <summary>Context length, in tokens, for an Ollama host. Null: estimated from the call, never below the host's default.</summary>
    public int? NumCtx { get; init; }
}

/// <summary>A name in <c>dialects</c>: a family of surfaces, not a single wire format.</summary>
internal enum DialectFamily
{
    /// <summary><c>openai</c>: chat, completions, embeddings, models, and the paths that are passed on by the model's name.</summary>
    OpenAi,

    /// <summary><c>responses</c>: OpenAI's Responses.</summary>
    Responses,

    /// <summary><c>ollama</c>: all of <c>/api</c>.</summary>
    Ollama,

    /// <summary><c>anthropic</c>: Messages.</summary>
    Anthropic,

    /// <summary><c>tei</c>: Text Embeddings Inference.</summary>
    Tei,
}
