using System.Net;
using System.Net.Sockets;
using System.Threading.Channels;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace Proxy.Transport.Loops;

/// <summary>A listening socket that all loops watch with EPOLLEXCLUSIVE: the kernel wakes one of them per connection.</summary>
internal sealed class LoopListener(Socket socket, EndPoint endpoint, EventLoops loops, Descriptors descriptors, ListeningSockets sockets, ILogger log)
    : IConnectionListener, IPausable
{
    // While there are more clients than descriptors, accepting pauses and resumes all the time; log it once a minute at most.
    private const long SayAgainAfter = 60_000;

    private readonly Channel<ConnectionContext> accepted =
        Channel.CreateUnbounded<ConnectionContext>(new() { AllowSynchronousContinuations = true, SingleReader = true });
    private readonly EndPoint bound = socket.LocalEndPoint ?? endpoint;
    private readonly List<Acceptor> acceptors = [];
    private int unbound;
    private long toldAt = -SayAgainAfter;

    /// <summary>The configured end point; port 0 is replaced by the port that the kernel has chosen.</summary>
    public EndPoint EndPoint => endpoint is IPEndPoint ? bound : endpoint;

    public async Task StartAsync()
    {
        foreach (var loop in loops.All)
        {
            await loop.EnterAsync();
            var acceptor = new Acceptor(this, loop);
            acceptors.Add(acceptor);
            if (!sockets.IsPaused) acceptor.Start();
        }

        await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding); // the caller must not continue on a loop's thread
    }

    public async Task PauseAsync()
    {
        foreach (var acceptor in acceptors)
        {
            await acceptor.Loop.EnterAsync();
            acceptor.Stop();
        }

        await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
    }

    public async Task ResumeAsync()
    {
        foreach (var acceptor in acceptors)
        {
            await acceptor.Loop.EnterAsync();
            acceptor.Resume();
        }

        await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
    }

    public async ValueTask<ConnectionContext?> AcceptAsync(CancellationToken cancellationToken = default)
    {
        while (await accepted.Reader.WaitToReadAsync(cancellationToken))
        {
            if (accepted.Reader.TryRead(out var connection)) return connection;
        }

        return null;
    }

    public async ValueTask UnbindAsync(CancellationToken cancellationToken = default)
    {
        if (Interlocked.Exchange(ref unbound, 1) != 0) return;
        await PauseAsync();
        sockets.Close(socket);
        accepted.Writer.TryComplete();
    }

    public ValueTask DisposeAsync() => UnbindAsync();

    private void TellOfPause(int error)
    {
        var now = Environment.TickCount64;
        if (now - Volatile.Read(ref toldAt) < SayAgainAfter) return;
        Volatile.Write(ref toldAt, now);
        if (error == 0) log.AcceptPaused(EndPoint.ToString() ?? "", descriptors.Ceiling, descriptors.Limit);
        else log.CannotAccept(EndPoint.ToString() ?? "", LibC.Words(error));
    }

    private void Offer(LoopConnection connection)
    {
        if (!accepted.Writer.TryWrite(connection)) connection.Abort();
    }

    /// <summary>Accepts on one loop.</summary>
    private sealed class Acceptor(LoopListener listener, EventLoop loop) : ILoopTarget, ITicked
    {
        // A small batch, then back to the loop: while more connections wait, the kernel wakes the other loops too.
        private const int AtOnce = 4;

        private readonly int descriptor = (int)listener.Socket.SafeHandle.DangerousGetHandle();
        private int slot = -1;
        private long againAt;

        public EventLoop Loop => loop;

        int ITicked.TickMark { get; set; }

        public void Start()
        {
            slot = loop.Watch(descriptor, this, LibC.Readable | LibC.Exclusive);
            if (slot < 0) throw new IOException($"the listener cannot be watched: {LibC.Words(LibC.LastError)}");
        }

        /// <summary>Accepts again, unless it does.</summary>
        public void Resume()
        {
            loop.RemoveTicked(this);
            if (slot < 0) Start();
        }

        public void Stop()
        {
            loop.RemoveTicked(this);
            if (slot < 0) return;
            loop.Unwatch(descriptor);
            loop.Forget(slot);
            slot = -1;
        }

        public void OnReady(uint events)
        {
            Span<byte> address = stackalloc byte[128];
            for (var i = 0; i < AtOnce; i++)
            {
                var connection = LibC.Accept(descriptor, address, out var length);
                if (connection < 0)
                {
                    if (LibC.IsExhausted(LibC.LastError)) Pause(LibC.LastError);
                    return;
                }

                LibC.SendAtOnce(connection);
                var home = listener.Loops.Home(loop);
                var local = listener.NeedsLocalAddress ? SocketNames.Local(connection) : listener.bound;
                new LoopConnection(home, connection, local, SocketNames.Read(address[..length]), listener.Offer).Start();
                if (connection < listener.Descriptors.Ceiling) continue;
                Pause(0);
                return;
            }
        }

        // Stops accepting after an exhaustion error, or (error 0) when the client connections have reached the ceiling. New connections stay in the
        // kernel's backlog.
        private void Pause(int error)
        {
            listener.TellOfPause(error);
            Stop();
            againAt = error == 0 ? -1 : 0;
            loop.AddTicked(this);
        }

        public void Tick(long now)
        {
            if (againAt == 0) againAt = now + 1000;
            if (now < againAt || !listener.Descriptors.HasRoom()) return;
            loop.RemoveTicked(this);
            Start();
        }
    }

    public Socket Socket => socket;
    private EventLoops Loops => loops;
    private Descriptors Descriptors => descriptors;
    private bool NeedsLocalAddress => bound is IPEndPoint { Address: var address } && (address.Equals(IPAddress.Any) || address.Equals(IPAddress.IPv6Any));
}
