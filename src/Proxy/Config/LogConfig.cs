namespace Proxy.Config;

/// <summary>The <c>[log]</c> section.</summary>
internal sealed record LogConfig
{
    /// <summary>The least that is written: <c>trace</c>, <c>debug</c>, <c>info</c>, <c>warn</c> or <c>error</c>.</summary>
    public string Level { get; init; } = "info";

    /// <summary><c>text</c> for eyes, <c>json</c> for collectors; one line either way.</summary>
    public string Format { get; init; } = "text";
}
