using System.IO.Pipelines;

namespace Proxy.Streams;

/// <summary>Accepts everything and sends nothing: the output for a client that has left.</summary>
internal sealed class NoWriter : PipeWriter
{
    public static readonly NoWriter Instance = new();

    public override bool CanGetUnflushedBytes => true;
    public override long UnflushedBytes => 0;

    public override ValueTask<FlushResult> WriteAsync(ReadOnlyMemory<byte> source, CancellationToken cancellationToken = default) => default;

    public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default) => default;

    // A new array each time: the instance is shared, and the bytes are discarded.
    public override Memory<byte> GetMemory(int sizeHint = 0) => new byte[Math.Max(sizeHint, 256)];

    public override Span<byte> GetSpan(int sizeHint = 0) => new byte[Math.Max(sizeHint, 256)];

    public override void Advance(int bytes) { }

    public override void CancelPendingFlush() { }

    public override void Complete(Exception? exception = null) { }
}
