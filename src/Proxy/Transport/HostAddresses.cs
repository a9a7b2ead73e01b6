using System.Net;
using System.Net.Sockets;

namespace Proxy.Transport;

/// <summary>A host's addresses: resolved when first needed, when older than half a minute and when none of them answers. Thread-safe.</summary>
internal sealed class HostAddresses(string host, int port, TimeProvider time)
{
    private static readonly TimeSpan Fresh = TimeSpan.FromSeconds(30);

    private readonly IPAddress? literal = IPAddress.TryParse(host, out var parsed) ? parsed : null;
    private volatile Resolved? known;

    private sealed record Resolved(IPAddress[] Addresses, long Stamp);

    /// <summary>A connection to the first address that takes one. Throws <see cref="SocketException"/> with the last failure, or when cancelled.</summary>
    public async Task<Socket> ConnectAsync(TimeSpan patience, CancellationToken cancellation)
    {
        if (literal is not null) return await ConnectAsync(literal, cancellation);

        var from = known;
        var isFresh = from is null || time.GetElapsedTime(from.Stamp) > Fresh;
        if (isFresh) from = await ResolveAsync(cancellation);
        try
        {
            return await ConnectAsync(from!, patience, cancellation);
        }
        catch (SocketException) when (!isFresh && !cancellation.IsCancellationRequested)
        {
            return await ConnectAsync(await ResolveAsync(cancellation), patience, cancellation);
        }
    }

    private async Task<Resolved> ResolveAsync(CancellationToken cancellation)
    {
        var addresses = await Dns.GetHostAddressesAsync(host, cancellation);
        if (addresses.Length == 0) throw new SocketException((int)SocketError.HostNotFound);
        return known = new(addresses, time.GetTimestamp());
    }

    private async Task<Socket> ConnectAsync(Resolved from, TimeSpan patience, CancellationToken cancellation)
    {
        var addresses = from.Addresses;
        for (var i = 0; ; i++)
        {
            var isLast = i == addresses.Length - 1;
            using var turn = isLast ? null : new CancellationTokenSource(patience / addresses.Length, time); // one dead address must not use up the others' time
            using var either = turn is null ? null : CancellationTokenSource.CreateLinkedTokenSource(turn.Token, cancellation);
            try
            {
                var socket = await ConnectAsync(addresses[i], either?.Token ?? cancellation);
                if (i > 0) known = new([addresses[i], .. addresses[..i], .. addresses[(i + 1)..]], from.Stamp);
                return socket;
            }
            catch (Exception failure) when (!isLast && !cancellation.IsCancellationRequested && failure is SocketException or OperationCanceledException)
            {
                // The next address is tried.
            }
        }
    }

    private async Task<Socket> ConnectAsync(IPAddress address, CancellationToken cancellation)
    {
        var socket = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            await socket.ConnectAsync(new IPEndPoint(address, port), cancellation);
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }
}
