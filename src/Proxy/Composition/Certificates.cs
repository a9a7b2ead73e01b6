using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using Microsoft.AspNetCore.Server.Kestrel.Https;
using Proxy.Config;

namespace Proxy.Composition;

/// <summary>The server's certificate; read again on reload, so that a renewed one needs no restart.</summary>
internal sealed class Certificates
{
    private SslServerAuthenticationOptions options;

    /// <summary>
    /// Throws <see cref="System.Security.Cryptography.CryptographicException"/> if the files do not contain a certificate and its key.
    /// </summary>
    public Certificates(TlsConfig tls) => options = Read(tls);

    public void Reload(TlsConfig tls) => Volatile.Write(ref options, Read(tls));

    public ValueTask<SslServerAuthenticationOptions> AnswerAsync(TlsHandshakeCallbackContext context) => new(Volatile.Read(ref options));

    private static SslServerAuthenticationOptions Read(TlsConfig tls)
    {
        var leaf = X509Certificate2.CreateFromPem(tls.Cert.Text, tls.Key.Text);
        var chain = new X509Certificate2Collection();
        chain.ImportFromPem(tls.Cert.Text);
        return new SslServerAuthenticationOptions
        {
            ServerCertificateContext = SslStreamCertificateContext.Create(leaf, chain, offline: true),
            ApplicationProtocols = [SslApplicationProtocol.Http2, SslApplicationProtocol.Http11],
        };
    }
}
