namespace Proxy.Config;

/// <summary>
/// A file that the configuration names, with its content at the time when the configuration was read, so that the checks, the server and a reload's comparison
/// all use the same content.
/// </summary>
internal sealed record NamedFile(string Path, string Text)
{
    // The text may be a private key.
    public override string ToString() => Path;
}
