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
    private ManualResetValueTaskSourceCore<ReplyRead> source;
    private volatile EventLoop? loop;
    private HostConnection? connection;

    // Written by the reader, read by the loop: a continuation is there, and only the loop completes it.
    private volatile bool attached;
    private bool elsewhere; // that continuation will not run on the loop's thread
    private volatile bool cancelled;
    private volatile bool disposed;
    private int posted;
    private bool released;
    private bool clocked;

    private ManualResetValueTaskSourceCore<UpstreamHead> headSource;
    private bool awaitsHead;

    private ReplyReadKind ended; // Cancelled or TimedOut
    private bool reading;
    private bool bodyless;
    private bool heard;
    private bool closedByHost;
    private int error;
    private bool headRead;
    private ResponseHead head;
    private UpstreamOutcome headFailure;
    private PooledBody? stash; // of the head what has come; then what came with it and could not stay in the scratch
    private int scanned;
    private int interim; // 1xx heads so far
    private int taken; // of the stash
    private int looked; // at the scratch, so far
    private int received; // end of what is ours in the scratch

    public override long Now => ticker.Now;

    int ITicked.TickMark { get; set; }

    private bool HasEnded => ended != default;

    public override ValueTask<ReplyRead> ReadAsync() => headRead ? NextAsync() : new(new ReplyRead(ReplyReadKind.Failed));

    public override void Cancel()
    {
        cancelled = true;
        Post();
    }

    public override void Dispose()
    {
        disposed = true;
        if (loop is { IsCurrent: true }) Release();
        else Post();
    }

    /// <summary>On the loop: the connection may be read or written.</summary>
    public void OnReady(bool writable)
    {
        if (writable && HasRest) SendRest();
        if (attached) GoOn();
    }

    /// <summary>On the loop: the host was away, and what it still had to say is lost.</summary>
    public void Lose()
    {
        if (HasEnded || disposed) return;
        HostWasAway = closedByHost = true;
        error = LibC.TimedOut;
        FailSend();
        sent?.TrySetResult();
        if (attached) GoOn();
    }

    void ILoopWork.Run()
    {
        Volatile.Write(ref posted, 0);
        if (disposed)
        {
            Release();
            return;
        }

        if (cancelled) End(ReplyReadKind.Cancelled);
        if (attached) GoOn();
    }

    void ITicked.Tick(long now)
    {
        if (opening || sent is not null)
        {
            if (now >= Deadline) End(ReplyReadKind.TimedOut);
        }
        else if (attached)
        {
            if (now >= Deadline)
            {
                End(ReplyReadKind.TimedOut);
                GoOn();
            }
            else if (reading && now >= QuietAt)
            {
                Complete(new(ReplyReadKind.Quiet));
            }
        }
    }

    ReplyRead IValueTaskSource<ReplyRead>.GetResult(short token) => source.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource<ReplyRead>.GetStatus(short token) => source.GetStatus(token);

    void IValueTaskSource<ReplyRead>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags)
    {
        elsewhere = (flags & ValueTaskSourceOnCompletedFlags.UseSchedulingContext) != 0
            && (SynchronizationContext.Current is { } context && context.GetType() != typeof(SynchronizationContext) || TaskScheduler.Current != TaskScheduler.Default);
        source.OnCompleted(continuation, state, token, flags);
        Attach();
    }

    UpstreamHead IValueTaskSource<UpstreamHead>.GetResult(short token) => headSource.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource<UpstreamHead>.GetStatus(short token) => headSource.GetStatus(token);

    void IValueTaskSource<UpstreamHead>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags)
    {
        headSource.OnCompleted(continuation, state, token, flags);
        Attach();
    }

    private void Attach()
    {
        var here = loop!;
        attached = true; // from here on the loop may complete it; nothing else of this object is touched
        if (!here.IsCurrent || connection is { Readable: true } || HasEnded) Post();
    }

    private void Post()
    {
        if (loop is { } there && Interlocked.Exchange(ref posted, 1) == 0) there.Post(this);
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
            if (awaitsHead) CompleteHead(read);
            else Complete(read);
        }
        else if (connection!.Readable) Post(); // its turn is over
    }

    private void CompleteHead(ReplyRead read)
    {
        awaitsHead = attached = false;
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
        attached = false;
        if (elsewhere && !read.Bytes.IsEmpty)
        {
            // The loop's scratch will be somebody else's by the time they are looked at.
            var kept = new PooledBody(read.Bytes.Length);
            kept.Write(read.Bytes.Span);
            stash?.Dispose();
            stash = kept;
            taken = kept.Length;
            read = new(read.Kind, kept.Memory);
        }

        source.SetResult(read);
    }

    // On the loop. False: nothing to be had now.
    private bool TryNext(out ReplyRead read)
    {
        while (true)
        {
            if (cancelled) End(ReplyReadKind.Cancelled);
            if (HasEnded)
            {
                if (ended == ReplyReadKind.TimedOut) Failure ??= "the host was silent for too long";
                read = new(ended);
                return true;
            }

            if (headRead ? TryReadBody(out read) : TryReadHead(out read)) return true;
            if (!connection!.Readable || loop!.Budget <= 0) return false;
            loop.Budget--;
            Receive();
        }
    }

    private void Receive()
    {
        looked = received = 0;
        var count = connection!.Receive(loop!.TakeScratch());
        if (count == LibC.WouldBlock) return;
        if (count > 0)
        {
            heard = true;
            received = count;
            return;
        }

        closedByHost = true;
        if (count == LibC.Failed) error = LibC.LastError;
    }

    private bool TryReadHead(out ReplyRead read)
    {
        read = new(ReplyReadKind.Failed);
        var bytes = loop!.Scratch.AsSpan(0, received);
        received = 0;
        if (stash is not null)
        {
            stash.Write(bytes);
            bytes = System.Runtime.InteropServices.MemoryMarshal.AsMemory(stash.Memory).Span;
        }

        var at = 0;
        while (true)
        {
            var rest = bytes[at..];
            if (!ResponseHead.CanBegin(rest)) return NotHttp("its first bytes are not an HTTP/1.x response");
            var length = ResponseHead.FindEnd(rest, ref scanned);
            if (length == 0)
            {
                if (rest.Length >= ResponseHead.MaxBytes) return NotHttp($"its head is larger than {ResponseHead.MaxBytes} bytes");
                if (!closedByHost)
                {
                    Keep(bytes, at);
                    return false;
                }

                headFailure = UpstreamOutcome.Broken;
                Failure = error != 0 ? $"the connection broke before the answer: {LibC.Words(error)}" : "the host closed the connection before it answered";
                return true;
            }

            if (ResponseHead.Read(rest[..length], bodyless, out head) is { } fault) return NotHttp(fault);
            at += length;
            scanned = 0;
            if (head.Status == 101) return NotHttp("it switched to another protocol");
            if (head.Status < 200)
            {
                if (++interim > ResponseHead.MostInterim) return NotHttp($"more than {ResponseHead.MostInterim} interim answers (1xx) came before it");
                continue;
            }

            headRead = true;
            if (stash is not null)
            {
                stash.Consume(at);
            }
            else if (at < bytes.Length)
            {
                // Whoever waits for the head mostly asks for the body at once: it stays where it is.
                (looked, received) = (at, bytes.Length);
                loop.ScratchHolder = this;
            }

            read = new(ReplyReadKind.Data);
            return true;
        }
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
        while (!head.Body.Done)
        {
            if (head.Body.Fault is { } fault) return Fail(fault, out read);
            if (stash is not null && taken < stash.Length)
            {
                var kept = System.Runtime.InteropServices.MemoryMarshal.AsMemory(stash.Memory)[taken..];
                var length = head.Body.Unframe(kept.Span, out var from, out var used);
                taken += used;
                if (length == 0) continue;
                read = new(ReplyReadKind.Data, kept.Slice(from, length));
                return true;
            }

            if (stash is not null)
            {
                stash.Dispose();
                stash = null;
                taken = 0;
            }

            if (received > 0)
            {
                var come = loop!.Scratch.AsMemory(looked, received - looked);
                var length = head.Body.Unframe(come.Span, out var from, out var used);
                if (used < come.Length) abandoned = true; // more than an answer: the connection serves no other
                ForgetScratch();
                if (length == 0) continue;
                read = new(ReplyReadKind.Data, come.Slice(from, length));
                return true;
            }

            if (!closedByHost)
            {
                read = default;
                return false;
            }

            if (error != 0) return Fail($"the host broke off its answer: {LibC.Words(error)}", out read);
            head.Body.Close();
        }

        read = new(ReplyReadKind.End);
        return true;
    }

    private void ForgetScratch()
    {
        looked = received = 0;
        if (ReferenceEquals(loop!.ScratchHolder, this)) loop.ScratchHolder = null;
    }

    private bool NotHttp(string why)
    {
        headFailure = UpstreamOutcome.NotHttp;
        Failure = $"the host's answer cannot be read: {why}";
        return true;
    }

    private bool Fail(string why, out ReplyRead read)
    {
        Failure = why;
        read = new(ReplyReadKind.Failed);
        return true;
    }

    private UpstreamHead Answered()
    {
        request = default;
        reading = true;
        return new(UpstreamOutcome.Answered, head.Status)
        {
            ContentType = head.ContentType,
            ContentLength = head.ContentLength,
            ContentEncoding = head.ContentEncoding,
            Headers = head.Headers is { } headers ? headers : [],
        };
    }

    private UpstreamHead Failed(UpstreamOutcome outcome)
    {
        opening = false;
        StopSending();
        request = default;
        headRead = false;
        connection?.Close();
        connection = null;
        return ended switch
        {
            ReplyReadKind.TimedOut => new(UpstreamOutcome.TimedOut) { Failure = "the host did not answer in time" },
            ReplyReadKind.Cancelled => new(UpstreamOutcome.Cancelled) { Failure = "the call was cancelled" },
            _ => new(outcome) { Failure = Failure },
        };
    }

    private void Drop()
    {
        connection!.Close();
        connection = null;
        StopSending();
        stash?.Dispose();
        stash = null;
        scanned = error = interim = 0;
        ForgetScratch();
        closedByHost = false;
        Failure = null;
    }

    // Closes at once, whatever is under way; whoever waits is told by the caller.
    private void End(ReplyReadKind kind)
    {
        if (HasEnded) return;
        ended = kind;
        connection?.Close();
        StopSending();
        connecting?.Cancel();
        sent?.TrySetResult();
    }

    private void Release()
    {
        if (released) return;
        released = true;
        if (clocked) loop!.RemoveTicked(this);
        if (connection is { } mine)
        {
            connection = null;
            var whole = headRead && head.Body.Done && head.KeepAlive && !sendFailed && !abandoned && !closedByHost && !HasEnded
                && (stash is null || taken == stash.Length) && received == 0;
            if (whole && !mine.Readable)
            {
                mine.KeepAliveSeconds = head.KeepAliveSeconds ?? mine.KeepAliveSeconds;
                client.Idle(loop!).GiveBack(mine);
                client.KeepSwept();
            }
            else
            {
                mine.Close();
            }
        }

        StopSending();
        if (loop is not null) ForgetScratch();
        stash?.Dispose();
        stash = null;
    }
}
