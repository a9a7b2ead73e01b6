namespace Proxy.Transport.Loops;

/// <summary>Chooses how a host is spoken to.</summary>
internal static class UpstreamClients
{
    /// <param name="loops">Given, <c>http://</c> hosts are spoken to on them.</param>
    public static UpstreamClient Create(UpstreamTarget target, CoarseTicker ticker, EventLoops? loops = null) => target.Address.Scheme switch
    {
        "http" when loops is not null => new LoopUpstream(target, loops, ticker),
        "http" or "https" => new SocketUpstream(target, ticker),
        var scheme => throw new ArgumentException($"a host is http:// or https://, not {scheme}://", nameof(target)),
    };
}
