namespace Proxy.Config;

/// <summary>The <c>[server]</c> section: where the proxy listens and how much one client may use.</summary>
internal sealed record ServerConfig
{
    /// <summary>
    /// Addresses: <c>host:port</c>, <c>[v6]:port</c> or <c>unix:/path</c>. The default is loopback, because no key is configured yet; 11435 because 11434 is
    /// Ollama's port, 8000 vLLM's and 8080 llama.cpp's.
    /// </summary>
    public IReadOnlyList<string> Listen { get; init; } = ["127.0.0.1:11435"];

    public TlsConfig? Tls { get; init; }

    /// <summary>Largest request body in bytes, after decompression. 32 MiB holds a long agent conversation with a few images.</summary>
    public long BodyLimit { get; init; } = 32L * 1024 * 1024;

    /// <summary>Calls that may wait for one model's slots. Further calls are refused with 503 at once, because a longer queue only hides an overload.</summary>
    public int Queue { get; init; } = 256;

    /// <summary>How long running streams may continue after SIGTERM. Keep it below the unit's TimeoutStopSec, or systemd kills them.</summary>
    public TimeSpan Drain { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>
    /// How long running streams may continue in the old process after a handoff. A stop during that time ends them after <see cref="Drain"/>.
    /// </summary>
    public TimeSpan HandoffDrain { get; init; } = TimeSpan.FromHours(1);

    /// <summary>A client whose stream waits gets its first keep-alive after this silence; shorter than the idle limits of common load balancers.</summary>
    public TimeSpan KeepaliveAfter { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>
    /// Web origins (<c>https://chat.example</c>) whose pages may call. None by default: a page that a user happens to visit must not use the models.
    /// </summary>
    public IReadOnlyList<string> Origins { get; init; } = [];

    /// <summary>
    /// Urls under which clients reach the proxy, if that is not an address or a name of this machine: a TLS server in front, or a name in the local network
    /// (see
    /// <see cref="PublicUrl"/>).
    /// </summary>
    public IReadOnlyList<string> PublicUrls { get; init; } = [];

    /// <summary>
    /// Overwrites the marks that coding agents change in every prompt, so that a local host's prefix cache works. Not for Anthropic's own service, which reads
    /// them.
    /// </summary>
    public bool PrefixHygiene { get; init; } = true;

    /// <summary>
    /// Downloads images that a request names by url, for hosts that accept images only inside the request; from the public internet only. Off by default: with
    /// it,
    /// every client can make the proxy send requests.
    /// </summary>
    public bool FetchImages { get; init; }

    /// <summary>
    /// How connections are served: <c>epoll</c> (the proxy's own event loops) or <c>sockets</c> (.NET's sockets), which cost more and are a fallback if the
    /// event
    /// loops misbehave.
    /// </summary>
    public string Transport { get; init; } = "epoll";
}

/// <summary>The <c>[server.tls]</c> section: a PEM certificate chain and its PEM key. Read again on reload.</summary>
internal sealed record TlsConfig
{
    public required NamedFile Cert { get; init; }

    public required NamedFile Key { get; init; }
}
