using System.Net;
using System.Net.Sockets;

namespace Proxy.Transport;

/// <summary>Configures the runtime's HTTP/1.1 client for one host. Used for the proxy's own requests (probes, model lists), not for clients' calls.</summary>
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
            ActivityHeadersPropagator = null, // the caller sets trace headers
            ConnectTimeout = target.Connect,
            PooledConnectionIdleTimeout = TimeSpan.FromSeconds(60),
            MaxResponseHeadersLength = ResponseHead.MaxBytes / 1024,
            MaxResponseDrainSize = 0, // close the connection of an abandoned response, so that the host stops generating it
            ConnectCallback = async (_, cancellation) => new NetworkStream(await addresses.ConnectAsync(target.Connect, cancellation), ownsSocket: true),
            SslOptions = HostCertificates.Options(target),
        });
    }
}
