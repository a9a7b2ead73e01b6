namespace Proxy.Transport.Loops;

/// <summary>Creates the client for a host.</summary>
internal static class UpstreamClients
{
    /// <param name="loops">If given, the clients of <c>http://</c> hosts run on these event loops.</param>
    public static UpstreamClient Create(UpstreamTarget target, CoarseTicker ticker, EventLoops? loops = null) => target.Address.Scheme switch
    {
        "http" when loops is not null => new LoopUpstream(target, loops, ticker),
        "http" or "https" => new SocketUpstream(target, ticker),
        var scheme => throw new ArgumentException($"a host is http:// or https://, not {scheme}://", nameof(target)),
    };
}
