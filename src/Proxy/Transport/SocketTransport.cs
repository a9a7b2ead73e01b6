using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace Proxy.Transport;

/// <summary>
/// Kestrel's socket transport with our own listener. Kestrel's listener treats descriptor exhaustion like a client that disconnected and retries at
/// once, in an endless loop; and it reserves no descriptors for connections to hosts. Register this as <see cref="IConnectionListenerFactory"/> after
/// Kestrel's own.
/// </summary>
internal sealed class SocketTransport(TimeProvider time, ILogger log, ListeningSockets? sockets = null)
    : IConnectionListenerFactory, IConnectionListenerFactorySelector
{
    private const int Backlog = 4096;

    private readonly ListeningSockets sockets = sockets ?? new();

    public bool CanBind(EndPoint endpoint) => endpoint is IPEndPoint or UnixDomainSocketEndPoint or FileHandleEndPoint;

    public ValueTask<IConnectionListener> BindAsync(EndPoint endpoint, CancellationToken cancellationToken = default)
    {
        var listener = new SocketListener(SocketListener.Bind(endpoint, Backlog), Descriptors.OfProcess(), sockets, time, log);
        sockets.Add(listener);
        return new(listener);
    }
}
