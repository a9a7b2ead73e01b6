using System.IO.Pipelines;
using Proxy.Buffers;

namespace Proxy.Streams;

/// <summary>
/// A client's writer that does not make the generation wait for a slow client while others follow it: it holds up to 1 MiB that the client has not taken, and only then waits. One writer at a time.
/// </summary>
internal sealed class HoldingWriter(PipeWriter client) : PipeWriter
{
    /// <summary>Bytes held for a client before the generation waits for it.</summary>
    public const int Most = 1 << 20;

    private readonly Lock gate = new();
    private readonly PooledBody filling = new(); // by the generation
    private PooledBody waiting = new(); // for the client; under the lock
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

    /// <summary>Waits until the client has taken everything, or has left.</summary>
    public async ValueTask DrainAsync()
    {
        await FlushAsync();
        await sending;
    }

    public override void CancelPendingFlush() => client.CancelPendingFlush();

    public override void Complete(Exception? exception = null) => client.Complete(exception);

    /// <summary>Sends until nothing waits. Begins on the generation's thread: where the client keeps up, a token crosses on one thread.</summary>
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
