namespace Proxy.Config;

/// <summary>The <c>[console]</c> section: the operator's pages at <c>/console</c>. They are served without it.</summary>
internal sealed record ConsoleConfig
{
    /// <summary>False: there is nothing at <c>/console</c>.</summary>
    public bool Enabled { get; init; } = true;
}
