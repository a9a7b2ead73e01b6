using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace Proxy.Transport;

/// <summary>
/// Kestrel's own transport with a listener of ours. Kestrel's takes an exhausted process for a client that left, and tries again at once, without an end; and it keeps no descriptors
/// back. Register it as <see cref="IConnectionListenerFactory"/> after Kestrel's own.
/// </summary>
internal sealed class SocketTransport(TimeProvider time, ILogger log) : IConnectionListenerFactory, IConnectionListenerFactorySelector
{
    private const int Backlog = 4096;

    public bool CanBind(EndPoint endpoint) => endpoint is IPEndPoint or UnixDomainSocketEndPoint or FileHandleEndPoint;

    public ValueTask<IConnectionListener> BindAsync(EndPoint endpoint, CancellationToken cancellationToken = default)
        => new(new SocketListener(SocketListener.Bind(endpoint, Backlog), Descriptors.OfProcess(), time, log));
}
