namespace Proxy.Transport;

/// <summary>
/// A connection of the runtime's HTTP client, which tells the exchange that writes a request to it. So the exchange knows whether the connection is a reused one, whether a byte
/// of the answer has come, and what to close when it is cancelled; the client itself says none of these.
/// </summary>
internal sealed class TrackedStream(Stream inner, HandlerUpstream client) : Stream
{
    private static readonly AsyncLocal<HandlerExchange?> writing = new();

    private HandlerExchange? user;
    private long heard;
    private long? suspectedAt;

    /// <summary>It has served an exchange before its present one.</summary>
    public bool IsReused { get; private set; }

    /// <summary>A byte has come since the present exchange began to write.</summary>
    public bool HasHeard { get; private set; }

    public override bool CanRead => true;
    public override bool CanSeek => false;
    public override bool CanWrite => true;
    public override long Length => throw new NotSupportedException();
    public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

    /// <summary>Requests that are sent in this asynchronous flow belong to <paramref name="exchange"/>.</summary>
    public static void Belongs(HandlerExchange exchange) => writing.Value = exchange;

    /// <summary>Closes the connection, unless another exchange has begun on it. Any thread.</summary>
    public void CloseFor(HandlerExchange exchange)
    {
        if (ReferenceEquals(Volatile.Read(ref user), exchange)) inner.Dispose();
    }

    /// <summary>It was closed because its host was away.</summary>
    public bool IsLost { get; private set; }

    /// <summary>Its host has stopped answering.</summary>
    public void Suspect() => suspectedAt = heard;

    /// <summary>The host is back: a suspect that has brought nothing since is closed, if a call runs on it or not.</summary>
    public void CloseIfSilent()
    {
        if (suspectedAt == heard)
        {
            IsLost = true;
            inner.Dispose();
        }

        suspectedAt = null;
    }

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        var count = await inner.ReadAsync(buffer, cancellationToken);
        if (count == 0) return 0;
        HasHeard = true;
        heard++;
        client.Hear();
        return count;
    }

    public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        Noticed();
        return inner.WriteAsync(buffer, cancellationToken);
    }

    public override Task FlushAsync(CancellationToken cancellationToken) => inner.FlushAsync(cancellationToken);

    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) => ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) => WriteAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override void Flush() => inner.Flush();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            inner.Dispose();
            client.Forget(this);
        }

        base.Dispose(disposing);
    }

    private void Noticed()
    {
        if (writing.Value is not { } exchange || ReferenceEquals(exchange, user)) return;
        IsReused = user is not null;
        HasHeard = false;
        Volatile.Write(ref user, exchange);
        exchange.Uses(this);
    }
}
