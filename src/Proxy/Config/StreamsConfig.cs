namespace Proxy.Config;

/// <summary>The <c>[streams]</c> section: how answers outlive the connections of their clients.</summary>
internal sealed record StreamsConfig
{
    /// <summary>
    /// How long a call runs on for its retry, if its client left at the time-out that it announced, or sent an <c>Idempotency-Key</c>. Zero: not at all.
    /// </summary>
    public TimeSpan RetryWindow { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Which answers can be resumed: <c>asked</c> (those whose call has <c>x-resume: 1</c>) or <c>all</c>.</summary>
    public string Resume { get; init; } = "asked";

    /// <summary>How long a resumable generation runs on after its last client has left.</summary>
    public TimeSpan Linger { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>How long a finished answer can still be resumed.</summary>
    public TimeSpan Keep { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>Bytes of answers kept in memory.</summary>
    public long Memory { get; init; } = 64 << 20;

    /// <summary>How long the answer to an <c>Idempotency-Key</c> is kept.</summary>
    public TimeSpan KeysTtl { get; init; } = TimeSpan.FromHours(24);

    /// <summary>Where answers are kept: <c>memory</c>, or also in <c>jetstream</c>, so that other proxies on the same NATS can continue them.</summary>
    public string Journal { get; init; } = "memory";
}
