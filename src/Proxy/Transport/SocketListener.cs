using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Logging;

namespace Proxy.Transport;

/// <summary>Accepts connections for Kestrel's transport. Pauses while no file descriptors are left for clients.</summary>
internal sealed class SocketListener(Socket socket, Descriptors descriptors, TimeProvider time, ILogger log) : IConnectionListener
{
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(100);

    // While there are more clients than descriptors, accepting pauses and resumes all the time; log it once a minute at most.
    private static readonly TimeSpan SayAgainAfter = TimeSpan.FromMinutes(1);

    private readonly SocketConnectionContextFactory connections = new(new() { UnsafePreferInlineScheduling = true }, log);
    private readonly CancellationTokenSource unbound = new();
    private bool isFull;
    private long? toldAt;

    public EndPoint EndPoint { get; } = socket.LocalEndPoint!;

    /// <summary>Creates a listening socket for any end point that Kestrel can be configured with.</summary>
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
                connection.Features.Set<IMemoryPoolFeature>(BlockPool.Only); // the factory's own pool returns empty buffers, see BlockPool
                return connection;
            }
            catch (Exception end) when (end is ObjectDisposedException or OperationCanceledException
                or SocketException { SocketErrorCode: SocketError.OperationAborted })
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
                client?.Dispose(); // the client disconnected while it waited in the backlog
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
