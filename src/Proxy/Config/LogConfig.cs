namespace Proxy.Config;

/// <summary>The <c>[log]</c> section.</summary>
internal sealed record LogConfig
{
    /// <summary>The lowest level that is written: <c>trace</c>, <c>debug</c>, <c>info</c>, <c>warn</c> or <c>error</c>.</summary>
    public string Level { get; init; } = "info";

    /// <summary><c>text</c> for people, <c>json</c> for log collectors; one line per event in both.</summary>
    public string Format { get; init; } = "text";

    /// <summary>The file to which the bodies of chats are written, without secrets; null: they are not written.</summary>
    public string? Bodies { get; init; }

    /// <summary>The size in bytes at which that file is renamed and a new one is begun.</summary>
    public long BodiesSize { get; init; } = 64 << 20;

    /// <summary>How many renamed files are kept.</summary>
    public int BodiesFiles { get; init; } = 4;
}
