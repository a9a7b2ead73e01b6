using System.Runtime.InteropServices;
using System.Threading.Tasks.Sources;
using Proxy.Buffers;

namespace Proxy.Transport.Loops;

/// <summary>
/// One request and its reply on a loop. Bytes are received into the loop's scratch buffer, so a waiting stream holds no buffer. Therefore bytes are
/// handed out only on the loop's thread: to a reader that runs there, or whose continuation is already attached. A reader whose continuation ran on
/// another thread returns to the loop at its next ReadAsync. Await reads directly; a <see cref="Task"/> in between would complete after the bytes
/// are overwritten.
/// </summary>
internal sealed partial class LoopExchange(LoopUpstream client, CoarseTicker ticker)
    : UpstreamExchange, IValueTaskSource<ReplyRead>, IValueTaskSource<UpstreamHead>, ILoopWork, ITicked, ISender, IScratchHolder
{
    // Flags for the work that Run has to do; set from any thread.
    private const int GoingOn = 1;
    private const int Cancelling = 2;
    private const int Disposing = 4;

    private ManualResetValueTaskSourceCore<ReplyRead> source;
    private ManualResetValueTaskSourceCore<UpstreamHead> headSource;
    private volatile EventLoop? loop;
    private int asked;
    private volatile Waiter waiter;
    private Phase phase;
    private HostConnection? connection;
    private ResponseReader response;
    private bool mustClose; // the connection cannot be reused: the request was not sent completely, or bytes followed the answer
    private PooledBody? stash; // an incomplete head; later, body bytes that could not stay in the scratch buffer
    private int taken; // how much of the stash is consumed
    private int looked; // start of our unread bytes in the scratch buffer
    private int received; // end of our bytes in the scratch buffer

    /// <summary>
    /// The state of the exchange. Only the loop's thread changes it. An exchange moves down this list; the only step back is from
    /// <see cref="AwaitingHead"/> to <see cref="Connecting"/>.
    /// </summary>
    private enum Phase : byte
    {
        /// <summary>Nothing has been sent. A cancellation is remembered and takes effect in SendAsync.</summary>
        New,

        /// <summary>A connection is being opened. The deadline applies.</summary>
        Connecting,

        /// <summary>
        /// The request is being sent or has been sent, and the response's head has not arrived. The deadline applies while a reader waits. If the host had
        /// closed the reused connection, a new one is opened.
        /// </summary>
        AwaitingHead,

        /// <summary>The head arrived before the whole request was sent, and the rest of the request is being sent. The deadline applies.</summary>
        Uploading,

        /// <summary>
        /// The head has been returned, and the body is being read. <see cref="ReplyBody.Deadline"/> and <see cref="ReplyBody.QuietAt"/> apply while a
        /// read waits.
        /// </summary>
        Reading,

        /// <summary>There is no answer; SendAsync has returned the failure. Nothing can be read.</summary>
        Failed,

        /// <summary>The deadline has passed: the connection is closed, and every read returns TimedOut.</summary>
        TimedOut,

        /// <summary><see cref="Cancel"/> was called: the connection is closed, and every read returns Cancelled.</summary>
        Cancelled,

        /// <summary>Disposed: the connection is closed or back in the pool.</summary>
        Released,
    }

    /// <summary>
    /// Which kind of reader waits. The reader sets it when its continuation is attached; from then on only the loop completes the wait and resets it.
    /// </summary>
    private enum Waiter : byte
    {
        Nobody,

        /// <summary>The caller of SendAsync, when the request was sent over an idle connection.</summary>
        ForHead,

        /// <summary>A read that continues on the loop's thread.</summary>
        ForRead,

        /// <summary>A read that continues on another thread: it gets a copy of the bytes.</summary>
        ForCopy,
    }

    public override long Now => ticker.Now;

    int ITicked.TickMark { get; set; }

    private bool HasEnded => phase is Phase.TimedOut or Phase.Cancelled;

    private bool IsOver => phase >= Phase.Failed;

    public override ValueTask<ReplyRead> ReadAsync() =>
        phase == Phase.Reading || HasEnded ? NextAsync() : new(new ReplyRead(ReplyReadKind.Failed));

    public override void Cancel() => Ask(Cancelling);

    public override void Dispose()
    {
        if (loop is { IsCurrent: true }) Release();
        else Ask(Disposing);
    }

    /// <summary>Called on the loop: the connection is readable or writable.</summary>
    public void OnReady(bool writable)
    {
        if (writable && upload.HasRest) OnSent(upload.TrySendRest(connection!.Descriptor));
        if (waiter != Waiter.Nobody) GoOn();
    }

    /// <summary>Called on the loop: the host had stopped answering, so the rest of its answer is lost. Fails the exchange.</summary>
    public void Lose()
    {
        if (IsOver) return;
        HostWasAway = true;
        response.Close(LibC.Words(LibC.TimedOut));
        OnSent(false);
        if (waiter != Waiter.Nobody) GoOn();
    }

    void ILoopWork.Run()
    {
        var what = Interlocked.Exchange(ref asked, 0);
        if ((what & Disposing) != 0) Release();
        if (phase == Phase.Released) return;
        if ((what & Cancelling) != 0) End(Phase.Cancelled);
        if (waiter != Waiter.Nobody) GoOn();
    }

    void ITicked.Tick(long now)
    {
        switch (phase)
        {
            case Phase.Connecting or Phase.Uploading when now >= Deadline:
                End(Phase.TimedOut);
                break;
            case Phase.AwaitingHead or Phase.Reading when waiter != Waiter.Nobody && now >= Deadline:
                End(Phase.TimedOut);
                GoOn();
                break;
            case Phase.Reading when waiter != Waiter.Nobody && now >= QuietAt:
                Complete(new(ReplyReadKind.Quiet));
                break;
        }
    }

    ReplyRead IValueTaskSource<ReplyRead>.GetResult(short token) => source.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource<ReplyRead>.GetStatus(short token) => source.GetStatus(token);

    void IValueTaskSource<ReplyRead>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags)
    {
        var isElsewhere = (flags & ValueTaskSourceOnCompletedFlags.UseSchedulingContext) != 0
            && (SynchronizationContext.Current is { } context && context.GetType() != typeof(SynchronizationContext)
                || TaskScheduler.Current != TaskScheduler.Default);
        source.OnCompleted(continuation, state, token, flags);
        Attach(isElsewhere ? Waiter.ForCopy : Waiter.ForRead);
    }

    UpstreamHead IValueTaskSource<UpstreamHead>.GetResult(short token) => headSource.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource<UpstreamHead>.GetStatus(short token) => headSource.GetStatus(token);

    void IValueTaskSource<UpstreamHead>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags)
    {
        headSource.OnCompleted(continuation, state, token, flags);
        Attach(Waiter.ForHead);
    }

    private void Attach(Waiter who)
    {
        var here = loop!;
        waiter = who; // from here on the loop may complete the wait, so this thread must not use other fields, except to check whether it must wake the loop
        if (!here.IsCurrent || connection is { Readable: true } || HasEnded) Ask(GoingOn);
    }

    // Callable from any thread. Posts work for each new flag and not only for the first, because a flag set before `loop` was assigned was not posted.
    private void Ask(int what)
    {
        if ((Interlocked.Or(ref asked, what) & what) == 0 && loop is { } there) there.Post(this);
    }

    private ValueTask<ReplyRead> NextAsync()
    {
        if (loop!.IsCurrent && TryNext(out var read)) return new(read);
        source.Reset();
        return new(this, source.Version);
    }

    private void GoOn()
    {
        if (TryNext(out var read))
        {
            if (waiter == Waiter.ForHead) CompleteHead(read);
            else Complete(read);
        }
        else if (connection!.Readable) Ask(GoingOn); // the read budget of this turn is used up
    }

    private void CompleteHead(ReplyRead read)
    {
        waiter = Waiter.Nobody;
        var pending = HeadAsync(read);
        if (pending.IsCompletedSuccessfully) headSource.SetResult(pending.Result);
        else _ = CompleteLaterAsync(pending);
    }

    private async Task CompleteLaterAsync(ValueTask<UpstreamHead> pending)
    {
        UpstreamHead late;
        try
        {
            late = await pending.ConfigureAwait(false);
        }
        catch (Exception bug) // a bug of ours: the awaiter of SendAsync gets the exception
        {
            headSource.SetException(bug);
            return;
        }

        headSource.SetResult(late);
    }

    private void Complete(ReplyRead read)
    {
        if (waiter == Waiter.ForCopy && !read.Bytes.IsEmpty)
        {
            // The loop will reuse its scratch buffer before a reader on another thread looks at the bytes.
            var kept = new PooledBody(read.Bytes.Length);
            kept.Write(read.Bytes.Span);
            stash?.Dispose();
            stash = kept;
            taken = kept.Length;
            read = new(read.Kind, kept.Memory);
        }

        waiter = Waiter.Nobody;
        source.SetResult(read);
    }

    // On the loop. False: no result is available yet.
    private bool TryNext(out ReplyRead read)
    {
        while (true)
        {
            if ((Volatile.Read(ref asked) & Cancelling) != 0) End(Phase.Cancelled);
            switch (phase)
            {
                case Phase.AwaitingHead:
                    if (TryReadHead(out read)) return true;
                    break;
                case Phase.Reading:
                    if (TryReadBody(out read)) return true;
                    break;
                case Phase.TimedOut:
                    Failure ??= "the host was silent for too long";
                    read = new(ReplyReadKind.TimedOut);
                    return true;
                default:
                    read = new(ReplyReadKind.Cancelled);
                    return true;
            }

            if (!connection!.Readable || loop!.Budget <= 0) return false;
            loop.Budget--;
            Receive();
        }
    }

    private void Receive()
    {
        looked = received = 0;
        var count = connection!.Receive(loop!.TakeScratch());
        if (count > 0) received = count;
        else if (count != LibC.WouldBlock) response.Close(count == LibC.Failed ? LibC.Words(LibC.LastError) : null);
    }

    private bool TryReadHead(out ReplyRead read)
    {
        var bytes = loop!.Scratch.AsSpan(0, received);
        received = 0;
        if (stash is not null)
        {
            stash.Write(bytes);
            bytes = MemoryMarshal.AsMemory(stash.Memory).Span;
        }

        var isOver = response.TryReadHead(bytes, out var used);
        if (stash is not null || !isOver)
        {
            Keep(bytes, used);
        }
        else if (used < bytes.Length)
        {
            // The caller usually reads the body immediately after the head, so the bytes stay in the scratch buffer.
            (looked, received) = (used, bytes.Length);
            loop.ScratchHolder = this;
        }

        if (!response.HasHead) Failure = response.Failure;
        read = new(response.HasHead ? ReplyReadKind.Data : ReplyReadKind.Failed);
        return isOver;
    }

    void IScratchHolder.LeaveScratch()
    {
        Keep(loop!.Scratch.AsSpan(0, received), looked);
        looked = received = 0;
    }

    // Moves the bytes behind the first `from` ones into the exchange's own memory.
    private void Keep(ReadOnlySpan<byte> bytes, int from)
    {
        if (stash is not null)
        {
            stash.Consume(from);
        }
        else if (from < bytes.Length)
        {
            stash = new(bytes.Length - from);
            stash.Write(bytes[from..]);
        }
    }

    private bool TryReadBody(out ReplyRead read)
    {
        if (received == 0 && stash is null && response.NeedsBytes) // each read of a stream begins so
        {
            read = default;
            return false;
        }

        var isKept = stash is not null && taken < stash.Length; // in this case the scratch buffer holds no bytes of ours
        var bytes = isKept ? MemoryMarshal.AsMemory(stash!.Memory)[taken..] : loop!.Scratch.AsMemory(looked, received - looked);
        var isOver = response.TryReadBody(bytes, out var used, out read);
        if (isKept)
        {
            taken += used;
        }
        else if (received > 0)
        {
            if (used < bytes.Length) mustClose = true;
            ForgetScratch();
        }

        if (!isOver) DropStash();
        else if (read.Kind == ReplyReadKind.Failed) Failure = response.Failure;
        return isOver;
    }

    private void ForgetScratch()
    {
        looked = received = 0;
        if (ReferenceEquals(loop!.ScratchHolder, this)) loop.ScratchHolder = null;
    }

    private void DropStash()
    {
        stash?.Dispose();
        stash = null;
        taken = 0;
    }

    private UpstreamHead Answered()
    {
        phase = Phase.Reading;
        upload.Forget();
        return response.Answer();
    }

    private UpstreamHead Failed(UpstreamOutcome outcome)
    {
        var head = HasEnded ? Ended(byClock: phase == Phase.TimedOut) : new(outcome) { Failure = Failure };
        phase = Phase.Failed;
        upload.Forget();
        connection?.Close();
        connection = null;
        return head;
    }

    // Closes the connection at once and stops connect and upload. The caller completes a waiting reader.
    private void End(Phase how)
    {
        if (IsOver) return;
        phase = how;
        connection?.Close();
        upload.Stop();
        connecting?.Cancel();
        sent?.TrySetResult();
    }

    private void Release()
    {
        if (phase == Phase.Released) return;
        var isWhole = phase == Phase.Reading && response.KeepsConnection && !mustClose && (stash is null || taken == stash.Length) && received == 0;
        phase = Phase.Released;
        loop!.RemoveTicked(this);
        if (connection is { } mine)
        {
            connection = null;
            if (isWhole && !mine.Readable)
            {
                client.Idle(loop).GiveBack(mine, response.Head.KeepAliveSeconds);
                client.KeepSwept();
            }
            else
            {
                mine.Close();
            }
        }

        upload.Forget();
        ForgetScratch();
        DropStash();
    }
}
