using System.Net.Security;
using System.Security.Cryptography.X509Certificates;

namespace Proxy.Transport;

/// <summary>Which certificates of a host are trusted: those of the system's roots, and of the authorities that the configuration names.</summary>
internal static class HostCertificates
{
    /// <summary>For a handshake with the target.</summary>
    public static SslClientAuthenticationOptions Options(UpstreamTarget target)
    {
        var options = new SslClientAuthenticationOptions { TargetHost = target.Address.IdnHost, ApplicationProtocols = [SslApplicationProtocol.Http11] };
        if (!target.VerifyCertificate)
        {
#pragma warning disable CA5359 // The configuration said so: tls_verify = false.
            options.RemoteCertificateValidationCallback = static (_, _, _, _) => true;
#pragma warning restore CA5359
        }
        else if (target.Authorities is { Count: > 0 } authorities)
        {
            options.RemoteCertificateValidationCallback = (_, certificate, chain, errors) =>
                errors == SslPolicyErrors.None || (errors == SslPolicyErrors.RemoteCertificateChainErrors && certificate is not null && LeadsTo(authorities, certificate, chain));
        }

        return options;
    }

    // The system's roots have said no already.
    private static bool LeadsTo(X509Certificate2Collection authorities, X509Certificate certificate, X509Chain? sent)
    {
        using var chain = new X509Chain();
        chain.ChainPolicy.TrustMode = X509ChainTrustMode.CustomRootTrust;
        chain.ChainPolicy.CustomTrustStore.AddRange(authorities);
        chain.ChainPolicy.RevocationMode = X509RevocationMode.NoCheck;
        chain.ChainPolicy.ApplicationPolicy.Add(new("1.3.6.1.5.5.7.3.1")); // server authentication
        foreach (var element in sent?.ChainElements ?? Enumerable.Empty<X509ChainElement>()) chain.ChainPolicy.ExtraStore.Add(element.Certificate);
        using var leaf = new X509Certificate2(certificate);
        return chain.Build(leaf);
    }
}
