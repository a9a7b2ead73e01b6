using System.Net;
using System.Net.Sockets;

namespace Proxy.Transport;

/// <summary>
/// A host's addresses. They are resolved at first use, again when they are older than 30 s, and again when none of them accepts a connection. Thread-safe.
/// </summary>
/// <param name="resolve">Replaces the system's resolver in tests.</param>
internal sealed class HostAddresses(string host, int port, TimeProvider time, Func<string, CancellationToken, Task<IPAddress[]>>? resolve = null)
{
    private static readonly TimeSpan Fresh = TimeSpan.FromSeconds(30);

    private readonly IPAddress? literal = IPAddress.TryParse(host, out var parsed) ? parsed : null;
    private volatile Resolved? known;

    private sealed record Resolved(IPAddress[] Addresses, long Stamp);

    /// <summary>
    /// Connects a runtime socket to the first address that accepts. Throws the <see cref="SocketException"/> of the last failure, or an
    /// <see cref="OperationCanceledException"/>.
    /// </summary>
    public Task<Socket> ConnectAsync(TimeSpan patience, CancellationToken cancellation) => ConnectAsync(OpenAsync, patience, cancellation);

    /// <summary>
    /// Calls <paramref name="open"/> with one address after another and returns the first connection. <paramref name="open"/> throws
    /// <see cref="SocketException"/> when it cannot connect.
    /// </summary>
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
            // Each address but the last gets an equal share of the time, so that one dead address does not use all of it.
            using var turn = isLast ? null : new CancellationTokenSource(patience / addresses.Length, time);
            using var either = turn is null ? null : CancellationTokenSource.CreateLinkedTokenSource(turn.Token, cancellation);
            try
            {
                var connection = await open(new(addresses[i], port), either?.Token ?? cancellation).ConfigureAwait(false);
                if (i > 0) known = new([addresses[i], .. addresses[..i], .. addresses[(i + 1)..]], from.Stamp);
                return connection;
            }
            catch (Exception failure) when (!isLast && !cancellation.IsCancellationRequested && (failure is SocketException or OperationCanceledException))
            {
                // Try the next address.
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
