namespace Proxy.Config;

/// <summary>The <c>[log]</c> section.</summary>
internal sealed record LogConfig
{
    /// <summary>The lowest level that is written: <c>trace</c>, <c>debug</c>, <c>info</c>, <c>warn</c> or <c>error</c>.</summary>
    public string Level { get; init; } = "info";

    /// <summary><c>text</c> for people, <c>json</c> for log collectors; one line per event in both.</summary>
    public string Format { get; init; } = "text";
}
