using Proxy.Cli;

namespace Proxy.Tests.Cli;

public sealed class TlsRootsTests
{
    static (string, string)[] Found(string[] paths, params string[] set) =>
        [.. TlsRoots.Found(name => set.Contains(name) ? "by the user" : null, paths.Contains)];

    [Fact]
    public void Debian_has_a_bundle_and_a_folder_Both_are_named() =>
        Assert.Equal(
            [("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt"), ("SSL_CERT_DIR", "/etc/ssl/certs")],
            Found(["/etc/ssl/certs", "/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/cert.pem"]));

    [Theory]
    [InlineData("/etc/pki/tls/certs/ca-bundle.crt")]
    [InlineData("/etc/ssl/ca-bundle.pem")]
    [InlineData("/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem")]
    [InlineData("/etc/ssl/cert.pem")]
    public void Another_distribution_Its_bundle_is_named(string bundle) =>
        Assert.Equal([("SSL_CERT_FILE", bundle)], Found([bundle]));

    [Theory]
    [InlineData("SSL_CERT_FILE")]
    [InlineData("SSL_CERT_DIR")]
    public void User_has_chosen_Nothing_is_changed(string variable) =>
        Assert.Empty(Found(["/etc/ssl/certs", "/etc/ssl/cert.pem"], variable));

    [Fact]
    public void Bare_machine_Nothing_is_named() => Assert.Empty(Found([]));
}
