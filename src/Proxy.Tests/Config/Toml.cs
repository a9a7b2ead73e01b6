using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Proxy.Config;

namespace Proxy.Tests.Config;

/// <summary>Reads configuration text on a machine that exists only in the test.</summary>
internal static class Toml
{
    public static readonly string CertPem, KeyPem;

    static Toml()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using var certificate = new CertificateRequest("CN=proxy.test", key, HashAlgorithmName.SHA256)
            .CreateSelfSigned(DateTimeOffset.UnixEpoch.AddYears(50), DateTimeOffset.UnixEpoch.AddYears(90));
        (CertPem, KeyPem) = (certificate.ExportCertificatePem(), key.ExportPkcs8PrivateKeyPem());
    }

    public static ConfigSources Machine(Dictionary<string, string>? environment = null, Dictionary<string, string>? files = null) => new()
    {
        Environment = name => environment?.GetValueOrDefault(name),
        ReadText = path => files?.GetValueOrDefault(path) ?? throw new FileNotFoundException("not on this machine", path),
        Folder = "/etc/proxy",
    };

    public static ProxyConfig Good(string toml, ConfigSources? sources = null)
    {
        var result = ConfigReader.Read(toml, sources ?? Machine());
        Assert.Empty(result.Problems);
        return result.Config!;
    }

    public static IReadOnlyList<ConfigProblem> Bad(string toml, ConfigSources? sources = null)
    {
        var result = ConfigReader.Read(toml, sources ?? Machine());
        Assert.Null(result.Config);
        return result.Problems;
    }

    /// <summary>The one problem there is: its line, key and message.</summary>
    public static void IsRefused(string toml, int line, string key, string message, ConfigSources? sources = null)
    {
        var problem = Assert.Single(Bad(toml, sources));
        Assert.Equal((line, key), (problem.Line, problem.Key));
        Assert.Contains(message, problem.Message, StringComparison.Ordinal);
    }
}
