using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Logging;

namespace Proxy.Transport;

/// <summary>Accepts connections for Kestrel's transport. Pauses while no file descriptors are left for clients.</summary>
internal sealed class SocketListener(Socket socket, Descriptors descriptors, ListeningSockets sockets, TimeProvider time, ILogger log)
    : IConnectionListener, IPausable
{
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(100);

    // While there are more clients than descriptors, accepting pauses and resumes all the time; log it once a minute at most.
    private static readonly TimeSpan SayAgainAfter = TimeSpan.FromMinutes(1);

    private readonly SocketConnectionContextFactory connections = new(new() { UnsafePreferInlineScheduling = true }, log);
    private readonly CancellationTokenSource unbound = new();
    private readonly Lock gate = new();
    private TaskCompletionSource? resumed; // null: it accepts
    private CancellationTokenSource pausing = new();
    private bool isFull;
    private long? toldAt;

    public EndPoint EndPoint { get; } = socket.LocalEndPoint!;

    public Socket Socket => socket;

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
                if (await WhenAcceptingAsync() is not { } accepting) return null;
                client = await AcceptAsync(accepting.Token, cancellationToken);
                if (client is null) continue; // a pause has begun
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

    public Task PauseAsync()
    {
        lock (gate)
        {
            resumed ??= new(TaskCreationOptions.RunContinuationsAsynchronously);
            pausing.Cancel();
        }

        return Task.CompletedTask;
    }

    public Task ResumeAsync()
    {
        lock (gate)
        {
            if (resumed is null) return Task.CompletedTask;
            pausing = new();
            resumed.SetResult();
            resumed = null;
        }

        return Task.CompletedTask;
    }

    public ValueTask UnbindAsync(CancellationToken cancellationToken = default)
    {
        unbound.Cancel();
        pausing.Cancel();
        sockets.Close(socket);
        return default;
    }

    public ValueTask DisposeAsync()
    {
        unbound.Cancel();
        sockets.Close(socket);
        connections.Dispose();
        return default;
    }

    /// <summary>Waits for the end of a pause. Returns what the next pause cancels; null: the listener has ended.</summary>
    private async ValueTask<CancellationTokenSource?> WhenAcceptingAsync()
    {
        while (!unbound.IsCancellationRequested)
        {
            Task pause;
            lock (gate)
            {
                if (sockets.IsPaused) resumed ??= new(TaskCreationOptions.RunContinuationsAsynchronously);
                if (resumed is null) return pausing;
                pause = resumed.Task;
            }

            await pause.WaitAsync(unbound.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        return null;
    }

    /// <summary>The next connection; null: a pause began before there was one. A connection that was accepted at that moment is not lost.</summary>
    private async ValueTask<Socket?> AcceptAsync(CancellationToken pause, CancellationToken cancellation)
    {
        try
        {
            if (!cancellation.CanBeCanceled) return await socket.AcceptAsync(pause);
            using var either = CancellationTokenSource.CreateLinkedTokenSource(pause, cancellation);
            return await socket.AcceptAsync(either.Token);
        }
        catch (OperationCanceledException) when (pause.IsCancellationRequested && !cancellation.IsCancellationRequested)
        {
            return null;
        }
    }

    private void Tell(string? problem)
    {
        if (toldAt is { } before && time.GetElapsedTime(before) < SayAgainAfter) return;
        toldAt = time.GetTimestamp();
        if (problem is null) log.AcceptPaused(EndPoint.ToString() ?? "", descriptors.Ceiling, descriptors.Limit);
        else log.CannotAccept(EndPoint.ToString() ?? "", problem);
    }
}
