using System.Runtime.InteropServices;

namespace Proxy.Cli;

/// <summary>
/// Tells the OpenSSL that is linked into the binary where this machine keeps its certificate authorities. It was built for Debian's folder and would trust no
/// certificate on other systems. Variables that the user has set are left unchanged.
/// </summary>
internal static partial class TlsRoots
{
    const string FileVariable = "SSL_CERT_FILE";
    const string FolderVariable = "SSL_CERT_DIR";

    /// <summary>
    /// The bundles of Debian and its derivatives, Fedora and RHEL, SUSE, RHEL's second place, Alpine and Arch. The first that exists is used.
    /// </summary>
    static readonly string[] Bundles =
    [
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem",
        "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
        "/etc/ssl/cert.pem",
    ];

    const string Folder = "/etc/ssl/certs";

    /// <summary>Call this before the first certificate or TLS connection of the process, because OpenSSL reads the variables once.</summary>
    public static void Probe()
    {
        foreach (var (name, value) in Found(Environment.GetEnvironmentVariable, path => File.Exists(path) || Directory.Exists(path)))
            // Environment.SetEnvironmentVariable changes a copy that native code does not read.
            _ = SetEnvironment(name, value, overwrite: 0);
    }

    /// <summary>The variables to set, given the environment and the file system.</summary>
    internal static IEnumerable<(string Name, string Value)> Found(Func<string, string?> environment, Func<string, bool> exists)
    {
        if (environment(FileVariable) is not null || environment(FolderVariable) is not null) yield break;

        if (Array.Find(Bundles, bundle => exists(bundle)) is { } found) yield return (FileVariable, found);
        if (exists(Folder)) yield return (FolderVariable, Folder);
    }

    [LibraryImport("libc", EntryPoint = "setenv", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int SetEnvironment(string name, string value, int overwrite);
}
