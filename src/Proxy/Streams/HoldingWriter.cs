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
    private PooledBody? filling; // what the generation has written and not flushed
    private PooledBody? waiting; // flushed by the generation while the client is slow; guarded by the lock
    private PooledBody? leaving; // being sent
    private Task sending = Task.CompletedTask;
    private bool isSending; // guarded by the lock
    private volatile bool hasLeft;

    public override bool CanGetUnflushedBytes => true;

    public override long UnflushedBytes => filling?.Length ?? 0;

    private PooledBody Filling => filling ??= new PooledBody(1024);

    public override Memory<byte> GetMemory(int sizeHint = 0) => Filling.GetMemory(sizeHint);

    public override Span<byte> GetSpan(int sizeHint = 0) => Filling.GetSpan(sizeHint);

    public override void Advance(int bytes) => Filling.Advance(bytes);

    public override ValueTask<FlushResult> WriteAsync(ReadOnlyMemory<byte> source, CancellationToken cancellationToken = default)
    {
        if (UnflushedBytes == 0) return PassAsync(source);
        Filling.Write(source.Span);
        return FlushAsync(cancellationToken);
    }

    public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default)
    {
        if (filling is not { Length: > 0 }) return new(Result);
        var passing = PassAsync(filling.Memory);
        filling.Clear(); // the bytes have been sent or copied, even if the task is pending
        return passing;
    }

    /// <summary>Waits until everything has been written to the client, or the client has left.</summary>
    public async ValueTask DrainAsync()
    {
        await FlushAsync();
        await sending;
    }

    public void Dispose()
    {
        filling?.Dispose();
        waiting?.Dispose();
        leaving?.Dispose();
    }

    public override void CancelPendingFlush() => client.CancelPendingFlush();

    public override void Complete(Exception? exception = null) => client.Complete(exception);

    private FlushResult Result => new(isCanceled: false, isCompleted: hasLeft);

    /// <summary>Sends the bytes at once while the client keeps up: then they are not copied, and a token changes no thread. Otherwise they wait here.</summary>
    private ValueTask<FlushResult> PassAsync(ReadOnlyMemory<byte> bytes)
    {
        if (hasLeft) return new(Result);
        lock (gate)
        {
            if (isSending)
            {
                (waiting ??= new PooledBody(bytes.Length)).Write(bytes.Span);
                return waiting.Length > Most ? new(FullAsync()) : new(Result);
            }
        }

        try
        {
            var writing = client.WriteAsync(bytes); // consumes the bytes before it returns
            if (!writing.IsCompletedSuccessfully)
            {
                lock (gate) isSending = true;
                sending = SendAsync(writing);
            }
            else if (writing.GetAwaiter().GetResult() is { IsCompleted: true } or { IsCanceled: true })
            {
                hasLeft = true;
            }
        }
        catch (Exception problem) when (HasClientLeft(problem))
        {
            hasLeft = true;
        }

        return new(Result);
    }

    private async Task<FlushResult> FullAsync()
    {
        await sending;
        return Result;
    }

    /// <summary>Sends until nothing is waiting.</summary>
    private async Task SendAsync(ValueTask<FlushResult> writing)
    {
        try
        {
            while (true)
            {
                var flushed = await writing;
                hasLeft |= flushed.IsCompleted || flushed.IsCanceled;
                if (!Next()) return;
                writing = client.WriteAsync(leaving!.Memory);
            }
        }
        catch (Exception problem) when (HasClientLeft(problem))
        {
            hasLeft = true;
        }
    }

    private bool Next()
    {
        lock (gate)
        {
            leaving?.Clear();
            isSending = !hasLeft && waiting is { Length: > 0 };
            if (!isSending) return false;
            (waiting, leaving) = (leaving, waiting);
            return true;
        }
    }

    private static bool HasClientLeft(Exception problem) => problem is IOException or OperationCanceledException or InvalidOperationException;
}
