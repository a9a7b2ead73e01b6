using System.Runtime.InteropServices;
using System.Threading.Tasks.Sources;
using Proxy.Buffers;

namespace Proxy.Transport.Loops;

/// <summary>
/// One request and its reply on a loop. Reads are received into the loop's scratch, so a stream that waits holds no buffer; therefore bytes are handed out only on the loop's thread,
/// to a reader that asks there or whose continuation is already attached. A reader elsewhere comes back to the loop with its next read. Await reads directly: what stands in
/// between (a <see cref="Task"/>) would outlive the bytes.
/// </summary>
internal sealed partial class LoopExchange(LoopUpstream client, CoarseTicker ticker) : UpstreamExchange, IValueTaskSource<ReplyRead>, IValueTaskSource<UpstreamHead>, ILoopWork, ITicked, ISender, IScratchHolder
{
    // What Run is to do; set from any thread.
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
    private bool mustClose; // the connection cannot serve another request: this one was not sent whole, or more than its answer came
    private PooledBody? stash; // of the head what has come; then what came with it and could not stay in the scratch
    private int taken; // of the stash
    private int looked; // at the scratch, so far
    private int received; // end of what is ours in the scratch

    /// <summary>How far the exchange is. Only the loop's thread changes it. An exchange goes down this list; the one step back is from <see cref="AwaitingHead"/> to <see cref="Connecting"/>.</summary>
    private enum Phase : byte
    {
        /// <summary>Nothing was sent. A cancellation is remembered, and looked at when the request is sent.</summary>
        New,

        /// <summary>A connection is being opened. The deadline counts.</summary>
        Connecting,

        /// <summary>
        /// The request is being sent, or was, and its answer's head has not come. The deadline counts while a reader waits. Where the host had closed the connection while it was idle,
        /// another one is opened.
        /// </summary>
        AwaitingHead,

        /// <summary>The head came before the whole request was sent, and the rest of the request is being sent. The deadline counts.</summary>
        Uploading,

        /// <summary>The head was handed out, and the body is read. <see cref="ReplyBody.Deadline"/> and <see cref="ReplyBody.QuietAt"/> count while a read waits.</summary>
        Reading,

        /// <summary>There is no answer, and the caller of SendAsync knows why. Nothing can be read.</summary>
        Failed,

        /// <summary>The deadline passed: the connection is closed, and every read says so.</summary>
        TimedOut,

        /// <summary>As above, by <see cref="Cancel"/>.</summary>
        Cancelled,

        /// <summary>Disposed: the connection is closed, or idle for another request.</summary>
        Released,
    }

    /// <summary>Who waits. The reader sets it when its continuation is attached; from then on only the loop completes the wait, and sets it back.</summary>
    private enum Waiter : byte
    {
        Nobody,

        /// <summary>The caller of SendAsync, over a connection that was idle.</summary>
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

    public override ValueTask<ReplyRead> ReadAsync() => phase == Phase.Reading || HasEnded ? NextAsync() : new(new ReplyRead(ReplyReadKind.Failed));

    public override void Cancel() => Ask(Cancelling);

    public override void Dispose()
    {
        if (loop is { IsCurrent: true }) Release();
        else Ask(Disposing);
    }

    /// <summary>On the loop: the connection may be read or written.</summary>
    public void OnReady(bool writable)
    {
        if (writable && upload.HasRest) OnSent(upload.TrySendRest(connection!.Descriptor));
        if (waiter != Waiter.Nobody) GoOn();
    }

    /// <summary>On the loop: the host was away, and what it still had to say is lost.</summary>
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
            && (SynchronizationContext.Current is { } context && context.GetType() != typeof(SynchronizationContext) || TaskScheduler.Current != TaskScheduler.Default);
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
        waiter = who; // from here on the loop may complete it; nothing else of this object is touched
        if (!here.IsCurrent || connection is { Readable: true } || HasEnded) Ask(GoingOn);
    }

    // Any thread. Work is posted for each new flag, not only for the first: a flag that was set before there was a loop was not posted.
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
        else if (connection!.Readable) Ask(GoingOn); // its turn is over
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
        catch (Exception bug) // of ours: it is the reader's to tell
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
            // The loop's scratch will be somebody else's by the time they are looked at.
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

    // On the loop. False: nothing to be had now.
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
            // Whoever waits for the head mostly asks for the body at once: it stays where it is.
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

    // What has come after the first bytes stays for later, in memory of our own.
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
        if (received == 0 && stash is null && response.NeedsBytes) // so begins each read of a stream
        {
            read = default;
            return false;
        }

        var isKept = stash is not null && taken < stash.Length; // then nothing of ours is in the scratch
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

    // Closes at once, whatever is under way; whoever waits is told by the caller.
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
