namespace Proxy.Config;

/// <summary>
/// A file that the configuration names, and what was in it when the configuration was read: what is checked, what is served and what a reload compares are then
/// the same.
/// </summary>
internal sealed record NamedFile(string Path, string Text)
{
    // The text may be a private key.
    public override string ToString() => Path;
}
