namespace Proxy.Transport;

/// <summary>Chooses how a host is spoken to.</summary>
internal static class UpstreamClients
{
    public static UpstreamClient Create(UpstreamTarget target, CoarseTicker ticker) => target.Address.Scheme switch
    {
        "http" => new SocketUpstream(target, ticker),
        "https" => new HandlerUpstream(target, ticker),
        var scheme => throw new ArgumentException($"a host is http:// or https://, not {scheme}://", nameof(target)),
    };
}
