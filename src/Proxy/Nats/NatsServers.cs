using System.Security.Cryptography.X509Certificates;
using NATS.Client.Core;
using NATS.NKeys;
using Proxy.Config;

namespace Proxy.Nats;

/// <summary>Turns the <c>[nats]</c> section into the client's options.</summary>
internal static class NatsServers
{
    public static NatsOpts Options(NatsConfig config) => new()
    {
        Url = string.Join(',', config.Url.Split(',').Select(Full)),
        Name = "proxy",
        AuthOpts = Login(config),
        TlsOpts = Tls(config),
        MaxReconnectRetry = -1,
        IgnoreAuthErrorAbort = true, // an operator may correct the server's users while we run
        ReconnectWaitMin = TimeSpan.FromMilliseconds(100),
        ReconnectWaitMax = TimeSpan.FromSeconds(5),
        ConnectTimeout = TimeSpan.FromSeconds(5),
        PingInterval = TimeSpan.FromSeconds(10), // two unanswered ones are a lost connection
        DrainSubscriptionsOnDispose = true, // sends what is still buffered
    };

    /// <summary>The servers without user and password, for the log.</summary>
    public static string Shown(NatsConfig config) => string.Join(", ", config.Url.Split(',').Select(static url =>
    {
        var uri = new Uri(Full(url));
        return $"{uri.Scheme}://{uri.Authority}"; // Authority leaves the user out
    }));

    private static string Full(string url) => url.Contains("://", StringComparison.Ordinal) ? url.Trim() : $"nats://{url.Trim()}";

    private static NatsAuthOpts Login(NatsConfig config)
    {
        if (config.Nkey is not { } seed)
            return new() { Username = config.User, Password = config.Password, Token = config.Token, Creds = config.Creds?.Text };
        using var pair = KeyPair.FromSeed(seed);
        return new() { Seed = seed, NKey = pair.GetPublicKey() };
    }

    private static NatsTlsOpts Tls(NatsConfig config)
    {
        // Without tls:// or ca, the connection is encrypted if the server offers it.
        var isWanted = config.Ca is not null || config.Url.Split(',').Any(static url => Full(url).StartsWith("tls://", StringComparison.Ordinal));
        var options = new NatsTlsOpts { Mode = isWanted ? TlsMode.Require : TlsMode.Auto, InsecureSkipVerify = !config.TlsVerify };
        if (config.Ca is not { } ca) return options;

        var authorities = new X509Certificate2Collection();
        authorities.ImportFromPem(ca.Text);
        return options with
        {
            ConfigureClientAuthentication = client =>
            {
                client.CertificateChainPolicy = new X509ChainPolicy
                {
                    TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck,
                };
                client.CertificateChainPolicy.CustomTrustStore.AddRange(authorities);
                return ValueTask.CompletedTask;
            },
        };
    }
}
