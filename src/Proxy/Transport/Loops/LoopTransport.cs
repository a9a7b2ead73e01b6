using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace Proxy.Transport.Loops;

/// <summary>
/// Kestrel's transport on our loops: IPv4, IPv6, unix sockets and inherited descriptors. Register it as <see cref="IConnectionListenerFactory"/> after Kestrel's own;
/// end points for which <paramref name="serves"/> is false stay with that (TLS, whose handshakes would hold up the loops).
/// </summary>
internal sealed class LoopTransport(EventLoops loops, ILogger log, Func<EndPoint, bool>? serves = null) : IConnectionListenerFactory, IConnectionListenerFactorySelector
{
    private const int Backlog = 4096;

    public bool CanBind(EndPoint endpoint) => (endpoint is IPEndPoint or UnixDomainSocketEndPoint or FileHandleEndPoint) && serves?.Invoke(endpoint) != false;

    public async ValueTask<IConnectionListener> BindAsync(EndPoint endpoint, CancellationToken cancellationToken = default)
    {
        var socket = SocketListener.Bind(endpoint, Backlog); // the runtime's socket binds, names and closes; only what happens often is ours
        socket.Blocking = false;
        var listener = new LoopListener(socket, endpoint, loops, Descriptors.OfProcess(), log);
        await listener.StartAsync();
        return listener;
    }
}
