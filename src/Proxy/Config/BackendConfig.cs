namespace Proxy.Config;

/// <summary>One <c>[[backends]]</c> entry: a model host, how to reach it and what it serves.</summary>
internal sealed record BackendConfig
{
    /// <summary>The url of the backend that lives in this program and says the last user message back.</summary>
    public const string BuiltinEcho = "builtin:echo";

    /// <summary>What serves when the file names no host.</summary>
    public static BackendConfig Echo { get; } = new() { Name = "echo", Url = BuiltinEcho, Models = ["echo"] };

    /// <summary>Unique; what logs, metrics and <c>default_backend</c> call it.</summary>
    public required string Name { get; init; }

    /// <summary>Where the host is: <c>http://</c> or <c>https://</c>, with a path if it has one, or <see cref="BuiltinEcho"/>.</summary>
    public required string Url { get; init; }

    /// <summary>The families of dialects that the host speaks. Null: the host is asked.</summary>
    public IReadOnlyList<DialectFamily>? Dialects { get; init; }

    /// <summary>
    /// Model names that start with one of these (or match it, where it holds <c>*</c> or <c>?</c>) come here. The longest match wins; nothing is stripped.
    /// </summary>
    public IReadOnlyList<string> Prefixes { get; init; } = [];

    /// <summary>Exact model names that this host serves, whatever it lists itself.</summary>
    public IReadOnlyList<string> Models { get; init; } = [];

    /// <summary>Names that the host lists itself are served by it. False: only <see cref="Models"/> and <see cref="Prefixes"/> come here.</summary>
    public bool Learn { get; init; } = true;

    /// <summary>Generations the host runs at a time. Null: without limit.</summary>
    public int? Slots { get; init; }

    /// <summary>Share of the calls among equally free backends.</summary>
    public int Weight { get; init; } = 1;

    /// <summary>The credential we show the host, already read from <c>key</c> or <c>key_file</c>. The client's own never goes there.</summary>
    public string? Key { get; init; }

    /// <summary>Headers added to every request to the host.</summary>
    public IReadOnlyDictionary<string, string> Headers { get; init; } = new Dictionary<string, string>();

    /// <summary>PEM file with the authorities to trust for this host.</summary>
    public NamedFile? Ca { get; init; }

    /// <summary>False accepts any certificate: for a test box, never for a network.</summary>
    public bool TlsVerify { get; init; } = true;

    /// <summary>
    /// Ask an OpenAI host for the token counts of every stream, for the log and the metrics; a client that did not ask does not see them. False: for a host
    /// that refuses <c>stream_options</c>.
    /// </summary>
    public bool StreamUsage { get; init; } = true;

    /// <summary>Time for name lookup, connection and TLS.</summary>
    public TimeSpan Connect { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Time from the request to the first token of a stream, waiting in our queue included. Long: a large prompt prefills for minutes.</summary>
    public TimeSpan FirstToken { get; init; } = TimeSpan.FromSeconds(300);

    /// <summary>Silence allowed between two tokens. Not a limit on the whole answer.</summary>
    public TimeSpan Idle { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>Limit on a whole answer, streaming or not. Null, the default: none; a long answer is not an error.</summary>
    public TimeSpan? Total { get; init; }

    public BackendOptions Options { get; init; } = new();
}

/// <summary>What is asked of the host with every call: <c>options = { num_ctx = 32768 }</c>.</summary>
internal sealed record BackendOptions
{
    /// <summary>
    /// Context length, in tokens, that an Ollama host is to run the model with. Null: estimated from the call, never below the host's default.
    /// </summary>
    public int? NumCtx { get; init; }
}

/// <summary>What a host's name in <c>dialects</c> stands for: a family of surfaces, not one wire format.</summary>
internal enum DialectFamily
{
    /// <summary><c>openai</c>: chat, completions, embeddings, models, and what is relayed by model.</summary>
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
