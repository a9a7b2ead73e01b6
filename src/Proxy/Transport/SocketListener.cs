using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Logging;

namespace Proxy.Transport;

/// <summary>Accepts for Kestrel's transport while there are descriptors for clients, and waits where there are none.</summary>
internal sealed class SocketListener(Socket socket, Descriptors descriptors, TimeProvider time, ILogger log) : IConnectionListener
{
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(100);

    // It may go to and fro for as long as there are more clients than descriptors.
    private static readonly TimeSpan SayAgainAfter = TimeSpan.FromMinutes(1);

    private readonly SocketConnectionContextFactory connections = new(new() { UnsafePreferInlineScheduling = true }, log);
    private readonly CancellationTokenSource unbound = new();
    private bool isFull;
    private long? toldAt;

    public EndPoint EndPoint { get; } = socket.LocalEndPoint!;

    /// <summary>A listening socket for whatever Kestrel's configuration may name.</summary>
    public static Socket Bind(EndPoint endpoint, int backlog)
    {
        Socket? socket = null;
        try
        {
            socket = SocketTransportOptions.CreateDefaultBoundListenSocket(endpoint);
            socket.Listen(backlog);
            return socket;
        }
        catch (SocketException failure)
        {
            socket?.Dispose();
            if (failure.SocketErrorCode == SocketError.AddressAlreadyInUse) throw new AddressInUseException(failure.Message, failure);
            throw;
        }
    }

    public async ValueTask<ConnectionContext?> AcceptAsync(CancellationToken cancellationToken = default)
    {
        while (true)
        {
            Socket? client = null;
            try
            {
                while (isFull && !descriptors.HasRoom()) await Task.Delay(Pause, time, unbound.Token);
                client = await socket.AcceptAsync(cancellationToken);
                isFull = client.SafeHandle.DangerousGetHandle() >= descriptors.Ceiling;
                if (isFull) Tell(null);
                if (client.LocalEndPoint is IPEndPoint) client.NoDelay = true;
                var connection = connections.Create(client);
                connection.Features.Set<IMemoryPoolFeature>(BlockPool.Only); // the factory's own pool gives the server no bytes where it asks for a block
                return connection;
            }
            catch (Exception end) when (end is ObjectDisposedException or OperationCanceledException or SocketException { SocketErrorCode: SocketError.OperationAborted })
            {
                return null;
            }
            catch (SocketException problem) when (LibC.IsExhausted(problem.NativeErrorCode))
            {
                isFull = true;
                Tell(problem.Message);
                await Task.Delay(Pause, time, CancellationToken.None);
            }
            catch (SocketException)
            {
                client?.Dispose(); // it left while it waited to be accepted
            }
        }
    }

    public ValueTask UnbindAsync(CancellationToken cancellationToken = default)
    {
        unbound.Cancel();
        socket.Dispose();
        return default;
    }

    public ValueTask DisposeAsync()
    {
        unbound.Cancel();
        socket.Dispose();
        connections.Dispose();
        return default;
    }

    private void Tell(string? problem)
    {
        if (toldAt is { } before && time.GetElapsedTime(before) < SayAgainAfter) return;
        toldAt = time.GetTimestamp();
        if (problem is null) log.AcceptPaused(EndPoint.ToString() ?? "", descriptors.Ceiling, descriptors.Limit);
        else log.CannotAccept(EndPoint.ToString() ?? "", problem);
    }
}
