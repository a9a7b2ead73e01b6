using System.Buffers;
using System.IO.Pipelines;

namespace Proxy.Streams;

/// <summary>Writes to a journal, which takes everything at once: no client slows this writer down. Called by one thread at a time.</summary>
internal sealed class JournalWriter(AnswerJournal journal) : PipeWriter
{
    private readonly ArrayBufferWriter<byte> buffer = new();

    public AnswerJournal Journal => journal;

    /// <summary>Something has been written.</summary>
    public bool HasBegun => journal.Length > 0 || buffer.WrittenCount > 0;

    public override bool CanGetUnflushedBytes => true;
    public override long UnflushedBytes => buffer.WrittenCount;

    public override Memory<byte> GetMemory(int sizeHint = 0) => buffer.GetMemory(sizeHint);

    public override Span<byte> GetSpan(int sizeHint = 0) => buffer.GetSpan(sizeHint);

    public override void Advance(int bytes) => buffer.Advance(bytes);

    public override ValueTask<FlushResult> WriteAsync(ReadOnlyMemory<byte> source, CancellationToken cancellationToken = default)
    {
        Flush();
        journal.Append(source.Span);
        return default;
    }

    public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default)
    {
        Flush();
        return default;
    }

    public override void CancelPendingFlush() { }

    public override void Complete(Exception? exception = null) { }

    private void Flush()
    {
        if (buffer.WrittenCount == 0) return;
        journal.Append(buffer.WrittenSpan);
        buffer.ResetWrittenCount();
    }
}
