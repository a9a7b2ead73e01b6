namespace Proxy.Config;

/// <summary>The <c>[metrics]</c> section.</summary>
internal sealed record MetricsConfig
{
    /// <summary>Whether what hosts say of themselves at their own <c>/metrics</c> is fetched and shown at ours.</summary>
    public bool Hosts { get; init; }
}
