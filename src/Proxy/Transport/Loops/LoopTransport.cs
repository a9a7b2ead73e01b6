using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace Proxy.Transport.Loops;

/// <summary>
/// A Kestrel transport on the event loops, for IPv4, IPv6, Unix sockets and inherited descriptors. Register it as
/// <see cref="IConnectionListenerFactory"/> after Kestrel's own. End points for which <paramref name="serves"/> returns false stay with Kestrel's
/// transport: those with TLS, because handshakes would block the loops.
/// </summary>
internal sealed class LoopTransport(EventLoops loops, ILogger log, Func<EndPoint, bool>? serves = null, ListeningSockets? sockets = null)
    : IConnectionListenerFactory, IConnectionListenerFactorySelector
{
    private const int Backlog = 4096;

    private readonly ListeningSockets sockets = sockets ?? new();

    public bool CanBind(EndPoint endpoint) =>
        (endpoint is IPEndPoint or UnixDomainSocketEndPoint or FileHandleEndPoint) && serves?.Invoke(endpoint) != false;

    public async ValueTask<IConnectionListener> BindAsync(EndPoint endpoint, CancellationToken cancellationToken = default)
    {
        var socket = SocketListener.Bind(endpoint, Backlog); // the runtime's Socket binds and closes; only accept is our own system call
        socket.Blocking = false;
        var listener = new LoopListener(socket, endpoint, loops, Descriptors.OfProcess(), sockets, log);
        sockets.Add(listener);
        await listener.StartAsync();
        return listener;
    }
}
