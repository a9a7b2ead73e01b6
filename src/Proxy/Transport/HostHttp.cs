using System.Net;
using System.Net.Sockets;

namespace Proxy.Transport;

/// <summary>The runtime's HTTP/1.1 client, set up for one host: for the few questions that the proxy asks on its own account, and not for calls.</summary>
internal static class HostHttp
{
    public static HttpMessageInvoker Create(UpstreamTarget target, TimeProvider time)
    {
        var addresses = new HostAddresses(target.Address.IdnHost, target.Address.Port, time);
        return new(new SocketsHttpHandler
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
            ConnectCallback = async (_, cancellation) => new NetworkStream(await addresses.ConnectAsync(target.Connect, cancellation), ownsSocket: true),
            SslOptions = HostCertificates.Options(target),
        });
    }
}
