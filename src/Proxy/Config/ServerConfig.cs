namespace Proxy.Config;

/// <summary>The <c>[server]</c> section: where we listen and what one client may take.</summary>
internal sealed record ServerConfig
{
    /// <summary>
    /// Addresses: <c>host:port</c>, <c>[v6]:port</c> or <c>unix:/path</c>. Loopback, because no key is configured yet; 11435 because 11434 is Ollama's, 8000
    /// vLLM's, 8080 llama.cpp's.
    /// </summary>
    public IReadOnlyList<string> Listen { get; init; } = ["127.0.0.1:11435"];

    public TlsConfig? Tls { get; init; }

    /// <summary>Bytes of one request body, decoded. 32 MiB holds a long agent conversation with a few images.</summary>
    public long BodyLimit { get; init; } = 32L * 1024 * 1024;

    /// <summary>Calls that may wait for one model's slots. One more is refused with 503 at once: a longer line only hides that it is too long.</summary>
    public int Queue { get; init; } = 256;

    /// <summary>How long running streams may go on after SIGTERM. Keep it below the unit's TimeoutStopSec, or systemd kills them.</summary>
    public TimeSpan Drain { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Silence after which a waiting stream's client gets its first keep-alive; shorter than the idle limits of common load balancers.</summary>
    public TimeSpan KeepaliveAfter { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>
    /// Web origins (<c>https://chat.example</c>) whose pages may call us. None by default: a page that someone happens to visit must not use the models.
    /// </summary>
    public IReadOnlyList<string> Origins { get; init; } = [];

    /// <summary>
    /// Urls under which clients reach us, where that is not an address or a name of this machine's: a server in front that speaks TLS, a name of the network's
    /// (see <see cref="PublicUrl"/>).
    /// </summary>
    public IReadOnlyList<string> PublicUrls { get; init; } = [];

    /// <summary>
    /// Makes the marks that coding agents change in every prompt the same, so that a local host's prefix cache holds. Not for Anthropic's own service, which
    /// reads them.
    /// </summary>
    public bool PrefixHygiene { get; init; } = true;

    /// <summary>
    /// Fetches images that a request names by address for hosts that take them only inside it; from the public internet alone. Off: whoever can chat could make
    /// us fetch.
    /// </summary>
    public bool FetchImages { get; init; }

    /// <summary>
    /// How connections are served: <c>epoll</c> (our loops) or <c>sockets</c> (the runtime's own), which costs more and is there in case the loops misbehave.
    /// </summary>
    public string Transport { get; init; } = "epoll";
}

/// <summary>The <c>[server.tls]</c> section: a PEM certificate chain and its PEM key. Read again on reload.</summary>
internal sealed record TlsConfig
{
    public required NamedFile Cert { get; init; }

    public required NamedFile Key { get; init; }
}
