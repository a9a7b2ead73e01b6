using System.IO.Pipelines;
using Proxy.Buffers;

namespace Proxy.Streams;

/// <summary>
/// The writer to a client whose generation has taps too: a slow client must not hold them up. Buffers up to 1 MiB that the client has not read; beyond that,
/// <see cref="FlushAsync"/> waits (back-pressure). Called by one thread at a time.
/// </summary>
internal sealed class HoldingWriter(PipeWriter client) : PipeWriter, IDisposable
{
    /// <summary>Bytes buffered for a client before the generation has to wait for it.</summary>
    public const int Most = 1 << 20;

    private readonly Lock gate = new();
    private readonly PooledBody filling = new(); // the generation writes here
    private PooledBody waiting = new(); // flushed by the generation and not yet being sent; guarded by the lock
    private PooledBody leaving = new(); // being sent
    private Task sending = Task.CompletedTask;
    private bool isSending;
    private bool hasLeft;

    public override bool CanGetUnflushedBytes => true;

    public override long UnflushedBytes => filling.Length;

    public override Memory<byte> GetMemory(int sizeHint = 0) => filling.GetMemory(sizeHint);

    public override Span<byte> GetSpan(int sizeHint = 0) => filling.GetSpan(sizeHint);

    public override void Advance(int bytes) => filling.Advance(bytes);

    public override ValueTask<FlushResult> WriteAsync(ReadOnlyMemory<byte> source, CancellationToken cancellationToken = default)
    {
        filling.Write(source.Span);
        return FlushAsync(cancellationToken);
    }

    public override async ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default)
    {
        bool begins, waits;
        lock (gate)
        {
            if (!hasLeft) waiting.Write(filling.Span);
            filling.Clear();
            begins = !isSending;
            isSending = true;
            waits = waiting.Length > Most;
        }

        if (begins) sending = SendAsync();
        if (waits) await sending;
        return new(isCanceled: false, isCompleted: hasLeft);
    }

    /// <summary>Waits until everything has been written to the client, or the client has left.</summary>
    public async ValueTask DrainAsync()
    {
        await FlushAsync();
        await sending;
    }

    public void Dispose()
    {
        filling.Dispose();
        waiting.Dispose();
        leaving.Dispose();
    }

    public override void CancelPendingFlush() => client.CancelPendingFlush();

    public override void Complete(Exception? exception = null) => client.Complete(exception);

    /// <summary>Sends until nothing is waiting. Starts on the generation's thread, so that a token changes no thread while the client keeps up.</summary>
    private async Task SendAsync()
    {
        try
        {
            while (Next())
            {
                var flushed = await client.WriteAsync(leaving.Memory);
                hasLeft |= flushed.IsCompleted || flushed.IsCanceled;
            }
        }
        catch (Exception problem) when (problem is IOException or OperationCanceledException or InvalidOperationException)
        {
            hasLeft = true;
        }
    }

    private bool Next()
    {
        lock (gate)
        {
            leaving.Clear();
            isSending = !hasLeft && waiting.Length > 0;
            if (!isSending) return false;
            (waiting, leaving) = (leaving, waiting);
            return true;
        }
    }
}
