namespace Proxy.Config;

/// <summary>The <c>[cache]</c> section: answers that are given again to equal calls.</summary>
internal sealed record CacheConfig
{
    /// <summary>Whether every call with temperature 0 or a seed takes part. If not, only calls with <c>x-cache: use</c> do.</summary>
    public bool Exact { get; init; }

    /// <summary>How long an answer is given again.</summary>
    public TimeSpan Ttl { get; init; } = TimeSpan.FromHours(24);

    /// <summary>Memory for the answers, in bytes. When it is full, the answers that were not used for the longest time go first.</summary>
    public long Size { get; init; } = 64 << 20;

    /// <summary>Whether a caller gets answers that were made for another one. Callers without a key have no cache otherwise.</summary>
    public bool Shared { get; init; }
}
