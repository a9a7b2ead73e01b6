namespace Proxy.Config;

/// <summary>The <c>[nats]</c> section: the NATS servers that calls are published to.</summary>
internal sealed record NatsConfig
{
    /// <summary>
    /// One or more servers of one cluster, separated by commas: <c>nats://HOST:4222</c>, <c>tls://HOST:4222</c>. May hold a user and a password.
    /// </summary>
    public required string Url { get; init; }

    /// <summary>What every subject begins with, without the dot behind it. Empty: <c>evt.chat.…</c>, <c>done.chat.…</c>.</summary>
    public string Prefix { get; init; } = "";

    /// <summary><c>summary</c>, or <c>full</c>: the message of a finished call has the conversation too.</summary>
    public string Record { get; init; } = "summary";

    /// <summary>How long events are collected before they are sent together. Zero: each event is a message.</summary>
    public TimeSpan Batch { get; init; } = TimeSpan.FromMilliseconds(50);

    /// <summary>Certificate authorities to trust for these servers. With it, TLS is required.</summary>
    public NamedFile? Ca { get; init; }

    /// <summary>False accepts every certificate.</summary>
    public bool TlsVerify { get; init; } = true;

    public string? User { get; init; }

    public string? Password { get; init; }

    public string? Token { get; init; }

    /// <summary>The seed of a user's nkey.</summary>
    public string? Nkey { get; init; }

    /// <summary>A credentials file: a user's JWT and the seed of its nkey.</summary>
    public NamedFile? Creds { get; init; }

    // Passwords and seeds are in here.
    public override string ToString() => "[nats]";
}
