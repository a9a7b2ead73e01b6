using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Proxy.Config;

namespace Proxy.Tests.Config;

/// <summary>Reads configuration text on a simulated machine: the test supplies its files and environment.</summary>
internal static class Toml
{
    public static readonly string CertPem, KeyPem;

    static Toml()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddIpAddress(IPAddress.Loopback);
        var request = new CertificateRequest("CN=proxy.test", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(names.Build());
        using var certificate = request.CreateSelfSigned(DateTimeOffset.UnixEpoch.AddYears(50), DateTimeOffset.UnixEpoch.AddYears(90));
        (CertPem, KeyPem) = (certificate.ExportCertificatePem(), key.ExportPkcs8PrivateKeyPem());
    }

    /// <summary>A certificate for 127.0.0.1 that only the tests trust.</summary>
    public static X509Certificate2 Certificate() => X509Certificate2.CreateFromPem(CertPem, KeyPem);

    public static ConfigSources Machine(Dictionary<string, string>? environment = null, Dictionary<string, string>? files = null) => new()
    {
        Environment = name => environment?.GetValueOrDefault(name),
        ReadText = path => files?.GetValueOrDefault(path) ?? throw new FileNotFoundException("not on this machine", path),
        Folder = "/etc/proxy",
        ModelProblem = static _ => null,
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

    /// <summary>Asserts that there is exactly one problem, with this line, key and message.</summary>
    public static void IsRefused(string toml, int line, string key, string message, ConfigSources? sources = null)
    {
        var problem = Assert.Single(Bad(toml, sources));
        Assert.Equal((line, key), (problem.Line, problem.Key));
        Assert.Contains(message, problem.Message, StringComparison.Ordinal);
    }
}
