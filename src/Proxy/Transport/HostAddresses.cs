using System.Net;
using System.Net.Sockets;

namespace Proxy.Transport;

/// <summary>A host's addresses: resolved when first needed, when older than half a minute and when none of them answers. Thread-safe.</summary>
/// <param name="resolve">The system's resolver, unless a test has its own.</param>
internal sealed class HostAddresses(string host, int port, TimeProvider time, Func<string, CancellationToken, Task<IPAddress[]>>? resolve = null)
{
    private static readonly TimeSpan Fresh = TimeSpan.FromSeconds(30);

    private readonly IPAddress? literal = IPAddress.TryParse(host, out var parsed) ? parsed : null;
    private volatile Resolved? known;

    private sealed record Resolved(IPAddress[] Addresses, long Stamp);

    /// <summary>A connection over the runtime's sockets to the first address that takes one. Throws <see cref="SocketException"/> with the last failure, or when cancelled.</summary>
    public Task<Socket> ConnectAsync(TimeSpan patience, CancellationToken cancellation) => ConnectAsync(OpenAsync, patience, cancellation);

    /// <summary>The first connection that <paramref name="open"/> makes, which throws <see cref="SocketException"/> where it makes none.</summary>
    public async Task<T> ConnectAsync<T>(Func<IPEndPoint, CancellationToken, Task<T>> open, TimeSpan patience, CancellationToken cancellation)
    {
        if (literal is not null) return await open(new(literal, port), cancellation).ConfigureAwait(false);

        var from = known;
        var isFresh = from is null || time.GetElapsedTime(from.Stamp) > Fresh;
        if (isFresh) from = await ResolveAsync(cancellation).ConfigureAwait(false);
        try
        {
            return await TryAllAsync(from!, open, patience, cancellation).ConfigureAwait(false);
        }
        catch (SocketException) when (!isFresh && !cancellation.IsCancellationRequested)
        {
            return await TryAllAsync(await ResolveAsync(cancellation).ConfigureAwait(false), open, patience, cancellation).ConfigureAwait(false);
        }
    }

    private async Task<Resolved> ResolveAsync(CancellationToken cancellation)
    {
        var addresses = await (resolve ?? Dns.GetHostAddressesAsync)(host, cancellation).ConfigureAwait(false);
        if (addresses.Length == 0) throw new SocketException((int)SocketError.HostNotFound);
        return known = new(addresses, time.GetTimestamp());
    }

    private async Task<T> TryAllAsync<T>(Resolved from, Func<IPEndPoint, CancellationToken, Task<T>> open, TimeSpan patience, CancellationToken cancellation)
    {
        var addresses = from.Addresses;
        for (var i = 0; ; i++)
        {
            var isLast = i == addresses.Length - 1;
            using var turn = isLast ? null : new CancellationTokenSource(patience / addresses.Length, time); // one dead address must not use up the others' time
            using var either = turn is null ? null : CancellationTokenSource.CreateLinkedTokenSource(turn.Token, cancellation);
            try
            {
                var connection = await open(new(addresses[i], port), either?.Token ?? cancellation).ConfigureAwait(false);
                if (i > 0) known = new([addresses[i], .. addresses[..i], .. addresses[(i + 1)..]], from.Stamp);
                return connection;
            }
            catch (Exception failure) when (!isLast && !cancellation.IsCancellationRequested && (failure is SocketException or OperationCanceledException))
            {
                // The next address is tried.
            }
        }
    }

    private static async Task<Socket> OpenAsync(IPEndPoint address, CancellationToken cancellation)
    {
        var socket = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            TcpWatch.Begin(socket);
            await socket.ConnectAsync(address, cancellation).ConfigureAwait(false);
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }
}
