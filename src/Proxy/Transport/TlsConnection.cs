using System.Net.Security;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Security.Authentication;

namespace Proxy.Transport;

/// <summary>A connection to an <c>https://</c> host.</summary>
internal sealed class TlsConnection : SocketConnection
{
    private readonly SslStream stream;
    private readonly Action received;
    private Task<int>? ahead; // while the connection is idle: waits for bytes, and takes none. The socket alone does not tell what TLS has already read from it
    private ConfiguredValueTaskAwaitable<int>.ConfiguredValueTaskAwaiter receive;
    private Exception? refused;

    public TlsConnection(Socket socket, SslStream stream, Action<SocketConnection> whenClosed) : base(socket, whenClosed)
    {
        this.stream = stream;
        received = () => Exchange!.OnReceived();
    }

    public override bool IsStale => ahead is { IsCompleted: true } || base.IsStale;

    public override ValueTask SendAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellation) => stream.WriteAsync(bytes, cancellation);

    public override bool BeginReceive(byte[] buffer, int offset)
    {
        var target = buffer.AsMemory(offset);
        try
        {
#pragma warning disable CA2012 // Consumed once, in EndReceive: a receive must outlive a Quiet.
            receive = (ahead is null ? stream.ReadAsync(target) : ReadBehindAsync(target)).ConfigureAwait(false).GetAwaiter();
#pragma warning restore CA2012
        }
        catch (Exception failure) when (failure is IOException or ObjectDisposedException)
        {
            refused = failure;
            return false;
        }

        if (receive.IsCompleted) return false;
        receive.UnsafeOnCompleted(received);
        return true;
    }

    public override int EndReceive(out string? broken)
    {
        broken = null;
        try
        {
            if (refused is not null) throw refused;
            return receive.GetResult();
        }
        catch (Exception failure) when (failure is IOException or ObjectDisposedException or AuthenticationException)
        {
            broken = (failure.InnerException as SocketException ?? failure).Message;
            return 0;
        }
    }

    public override void Rest() => ahead = ReadAheadAsync();

    public override void Dispose() => stream.Dispose();

    protected override void Break() => stream.Dispose();

    private async Task<int> ReadAheadAsync() => await stream.ReadAsync(Memory<byte>.Empty).ConfigureAwait(false);

    private async ValueTask<int> ReadBehindAsync(Memory<byte> target)
    {
        await ahead!.ConfigureAwait(false);
        ahead = null;
        return await stream.ReadAsync(target).ConfigureAwait(false);
    }
}
