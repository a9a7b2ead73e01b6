using System.Threading.Tasks.Sources;
using Proxy.Buffers;

namespace Proxy.Streams;

/// <summary>One client's reading of a journal, as the body of a reply: the generation that writes for that client reads it like a host's.</summary>
internal sealed class JournalBody(AnswerJournal journal, AnswerJournal.Piece piece) : ReplyBody, IValueTaskSource<ReplyRead>
{
    // Continuations run where the frames are appended: a token changes no thread.
    private ManualResetValueTaskSourceCore<ReplyRead> source;
    private AnswerJournal.Piece piece = piece;
    private int offset;
    private volatile bool isCancelled;
    private long quiet;

    /// <summary>Bytes that were read.</summary>
    public long Position { get; private set; }

    /// <summary>The reader was too slow for a journal that keeps nothing any more.</summary>
    public bool IsCut { get; set; }

    public override long Now => JournalTable.Clock(journal.Time);

    public override ValueTask<ReplyRead> ReadAsync()
    {
        if (isCancelled) return new(new ReplyRead(ReplyReadKind.Cancelled));
        source.Reset();
        if (journal.TryRead(this) is { } read) return new(read);
        if (isCancelled && journal.StopWaiting(this)) return new(new ReplyRead(ReplyReadKind.Cancelled));
        return new(this, source.Version);
    }

    /// <summary>There are bytes that were not read yet. Called under the journal's lock.</summary>
    public bool HasMore => Position < journal.Length;

    /// <summary>The bytes that follow those already read; empty: there are none yet. Called under the journal's lock.</summary>
    public ReadOnlyMemory<byte> Advance()
    {
        while (offset == piece.Length && piece.Next is { } next) (piece, offset) = (next, 0);
        var bytes = piece.Bytes.AsMemory(offset, piece.Length - offset);
        offset = piece.Length;
        Position += bytes.Length;
        return bytes;
    }

    /// <summary>Leaves out bytes at the beginning. Called under the journal's lock, before the first read.</summary>
    public void Skip(long bytes)
    {
        Position = bytes;
        for (; bytes > piece.Length && piece.Next is { } next; piece = next) bytes -= piece.Length;
        offset = (int)bytes;
    }

    /// <summary>
    /// What plain frames are sent to while a read waits, without ending its wait: most frames are plain, and waking the generation for each of them is half of
    /// what a journal costs. Null: every frame is read.
    /// </summary>
    public VerbatimSink? Direct { get; private set; }

    /// <summary>Plain frames may go to the sink from here on.</summary>
    /// <param name="sink">The sink of the generation that reads this body.</param>
    /// <param name="keepAliveAfter">Milliseconds of silence after which the read returns; <see cref="ReplyBody.Never"/>: it does not.</param>
    public void SendPlainTo(VerbatimSink sink, long keepAliveAfter)
    {
        Direct = sink;
        quiet = keepAliveAfter;
    }

    /// <summary>Sends a plain frame while a read waits. Nothing else ends that wait until the frame is sent.</summary>
    public async Task SendAsync(VerbatimSink sink, ReadOnlyMemory<byte> frame)
    {
        bool isTaken;
        try
        {
            isTaken = await sink.SendPlainAsync(frame);
        }
        catch (Exception problem) // whatever it is, the reader gets it and not the thread that appends
        {
            source.SetException(problem);
            return;
        }

        if (quiet != Never) QuietAt = Now + quiet;
        if (!isTaken) Wake(new(ReplyReadKind.Cancelled));
        else if (journal.TryRead(this) is { } read) Wake(read);
        else if (isCancelled && journal.StopWaiting(this)) Wake(new(ReplyReadKind.Cancelled));
    }

    /// <summary>Completes the read that waits. Called once for each wait, by the thread that ended it.</summary>
    public void Wake(ReplyRead read) => source.SetResult(read);

    public override void Cancel()
    {
        isCancelled = true;
        if (journal.StopWaiting(this)) Wake(new(ReplyReadKind.Cancelled));
    }

    public override void Dispose() => journal.Forget(this);

    ReplyRead IValueTaskSource<ReplyRead>.GetResult(short token) => source.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource<ReplyRead>.GetStatus(short token) => source.GetStatus(token);

    void IValueTaskSource<ReplyRead>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        source.OnCompleted(continuation, state, token, flags);
}
