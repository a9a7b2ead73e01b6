using System.Collections.Concurrent;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;

namespace Proxy.Transport;

/// <summary>Connections to one <c>https://</c> host over the runtime's HTTP/1.1 client.</summary>
internal sealed class HandlerUpstream : UpstreamClient
{
    private readonly CoarseTicker ticker;
    private readonly HostAddresses addresses;
    private readonly ConcurrentDictionary<TrackedStream, bool> open = new();
    private long heard;

    public HandlerUpstream(UpstreamTarget target, CoarseTicker ticker)
    {
        Target = target;
        this.ticker = ticker;
        Name = target.Address.Authority;
        addresses = new(target.Address.IdnHost, target.Address.Port, ticker.Time);
        Invoker = new(new SocketsHttpHandler
        {
            UseProxy = false,
            UseCookies = false,
            AllowAutoRedirect = false,
            AutomaticDecompression = DecompressionMethods.None,
            ActivityHeadersPropagator = null, // trace headers are the caller's business
            ConnectTimeout = target.Connect,
            PooledConnectionIdleTimeout = TimeSpan.FromSeconds(60),
            MaxResponseHeadersLength = ResponseHead.MaxBytes / 1024,
            MaxResponseDrainSize = 0, // an answer nobody wants is cut off, so that the host stops working on it
            ConnectCallback = ConnectAsync,
            PlaintextStreamFilter = (context, _) => new(Track(context.PlaintextStream)),
            SslOptions = Trust(target),
        });
    }

    public UpstreamTarget Target { get; }

    /// <summary>The host and its port, for messages.</summary>
    public string Name { get; }

    public HttpMessageInvoker Invoker { get; }

    public override long Heard => Volatile.Read(ref heard);

    public override void Suspect()
    {
        foreach (var connection in open.Keys) connection.Suspect();
    }

    public override void EndSuspects()
    {
        foreach (var connection in open.Keys) connection.CloseIfSilent();
    }

    /// <summary>Bytes came. Two at once may count as one: only that the number has grown matters.</summary>
    public void Hear() => heard++;

    /// <summary>The connection is closed.</summary>
    public void Forget(TrackedStream connection) => open.TryRemove(connection, out _);

    public override UpstreamExchange Open() => new HandlerExchange(this, ticker);

    public override void Dispose() => Invoker.Dispose();

    private async ValueTask<Stream> ConnectAsync(SocketsHttpConnectionContext context, CancellationToken cancellation) =>
        new NetworkStream(await addresses.ConnectAsync(Target.Connect, cancellation), ownsSocket: true);

    private TrackedStream Track(Stream stream)
    {
        var connection = new TrackedStream(stream, this);
        open[connection] = true;
        return connection;
    }

    private static SslClientAuthenticationOptions Trust(UpstreamTarget target)
    {
        var options = new SslClientAuthenticationOptions { ApplicationProtocols = [SslApplicationProtocol.Http11] };
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
