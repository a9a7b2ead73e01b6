using System.Threading.Tasks.Sources;
using Proxy.Buffers;

namespace Proxy.Transport;

/// <summary>
/// An exchange whose waits end by bytes, by the clock or by <see cref="ReplyBody.Cancel"/>, whichever claims the wait first; a receive that is under way outlives a
/// <see cref="ReplyReadKind.Quiet"/>. Nothing is allocated per read. Bytes complete a wait on the thread that brings them; the clock and Cancel do so on the pool.
/// </summary>
internal abstract class InterruptibleExchange(CoarseTicker ticker) : UpstreamExchange, IValueTaskSource<ReplyRead>, ITicked, IThreadPoolWorkItem
{
    // Who is at the meeting point of the reader and its receive. All changes are compare-and-swap: whoever moves it away from Waiting completes the reader, once.
    private const int Nobody = 0;
    private const int Waiting = 1;
    private const int Arrived = 2;
    private const int Left = 3;

    // A reader that never has to wait gives others their turn after as many reads: completions share the threads that watch the sockets.
    private const int ReadsInARow = 32;

    private ManualResetValueTaskSourceCore<ReplyRead> source;
    private ReplyRead postponed;
    private int meeting;
    private int ended; // 0, or the ReplyReadKind that ended it
    private bool receiving;
    private int row;
    private bool registered;

    int ITicked.TickMark { get; set; }

    public override long Now => ticker.Now;

    protected CoarseTicker Ticker => ticker;

    /// <summary>Connecting or sending: no read waits, but <see cref="ReplyBody.Deadline"/> counts.</summary>
    protected volatile bool Opening;

    /// <summary>The head has come, so <see cref="ReplyBody.QuietAt"/> counts.</summary>
    protected volatile bool Reading;

    protected bool IsEnded => Volatile.Read(ref ended) != 0;

    protected bool IsTimedOut => Volatile.Read(ref ended) == (int)ReplyReadKind.TimedOut;

    /// <summary>Starts a receive. True: <see cref="Received"/> will be called. False: it is over already. Must not throw, also on a closed connection.</summary>
    protected abstract bool BeginReceive();

    /// <summary>Takes over what the finished receive brought.</summary>
    protected abstract void EndReceive();

    /// <summary>The next outcome from what has been received; false when more must be received.</summary>
    protected abstract bool TryProduce(out ReplyRead read);

    /// <summary>Gives up the memory of a receive which outlived the reader.</summary>
    protected abstract void ReleaseReceive();

    /// <summary>Closes the connection at once, whatever it is doing. Any thread.</summary>
    protected abstract void Break();

    public override void Cancel() => Interrupt(ReplyReadKind.Cancelled);

    protected void StartClock()
    {
        registered = true;
        ticker.Register(this);
    }

    protected void StopClock()
    {
        if (!registered) return;
        registered = false;
        ticker.Unregister(this);
    }

    /// <summary>One step of the reply: what was received, or else what the network brings next.</summary>
    protected ValueTask<ReplyRead> NextAsync()
    {
        source.Reset();
        var version = source.Version;
        if (!TryNext(out var read))
        {
            row = 0;
            return new(this, version);
        }

        if (++row < ReadsInARow) return new(read);
        row = 0;
        Postpone(read);
        return new(this, version);
    }

    /// <summary>A receive is over: called by whoever watches the connection, when <see cref="BeginReceive"/> said so.</summary>
    protected void Received()
    {
        while (true)
        {
            if (Interlocked.CompareExchange(ref meeting, Nobody, Waiting) == Waiting)
            {
                receiving = false;
                EndReceive();
                GoOn();
                return;
            }

            var was = Interlocked.CompareExchange(ref meeting, Arrived, Nobody);
            if (was == Nobody) return;
            if (was != Left) continue;
            ReleaseReceive();
            return;
        }
    }

    /// <summary>The reader is done. True when no receive is under way, so that its memory is free; else <see cref="ReleaseReceive"/> will be called.</summary>
    protected bool TryLeave()
    {
        if (!receiving) return true;
        receiving = false;
        return Interlocked.CompareExchange(ref meeting, Left, Nobody) != Nobody;
    }

    /// <summary>Before another connection is tried: nothing is under way on the last one.</summary>
    protected void Restart()
    {
        receiving = false;
        meeting = Nobody;
    }

    void ITicked.Tick(long now)
    {
        if (Opening)
        {
            if (now >= Deadline) Interrupt(ReplyReadKind.TimedOut);
            return;
        }

        // A cheap look first; the times belong to the reader and are exact only once its wait is claimed.
        if ((now < Deadline && (!Reading || now < QuietAt)) || Volatile.Read(ref meeting) != Waiting) return;
        if (Interlocked.CompareExchange(ref meeting, Nobody, Waiting) != Waiting) return;

        if (now >= Deadline)
        {
            if (Interlocked.CompareExchange(ref ended, (int)ReplyReadKind.TimedOut, 0) == 0) Break();
            Postpone(Ending());
        }
        else if (Reading && now >= QuietAt)
        {
            Postpone(new(ReplyReadKind.Quiet));
        }
        else
        {
            GoOn();
        }
    }

    void IThreadPoolWorkItem.Execute() => source.SetResult(postponed);

    ReplyRead IValueTaskSource<ReplyRead>.GetResult(short token) => source.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource<ReplyRead>.GetStatus(short token) => source.GetStatus(token);

    void IValueTaskSource<ReplyRead>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        source.OnCompleted(continuation, state, token, flags);

    private void Interrupt(ReplyReadKind kind)
    {
        if (Interlocked.CompareExchange(ref ended, (int)kind, 0) != 0) return;
        Break();
        if (Interlocked.CompareExchange(ref meeting, Nobody, Waiting) == Waiting) Postpone(Ending());
    }

    private ReplyRead Ending()
    {
        var kind = (ReplyReadKind)Volatile.Read(ref ended);
        if (kind == ReplyReadKind.TimedOut) Failure ??= "the host was silent for too long";
        return new(kind);
    }

    // Never on the caller's stack: it may hold locks, and it has others to tell.
    private void Postpone(ReplyRead read)
    {
        postponed = read;
        ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
    }

    private void GoOn()
    {
        if (TryNext(out var read)) source.SetResult(read);
    }

    // True: here is the outcome. False: the reader waits, and whoever claims its wait completes it.
    private bool TryNext(out ReplyRead read)
    {
        while (true)
        {
            if (IsEnded)
            {
                read = Ending();
                return true;
            }

            if (!receiving)
            {
                if (TryProduce(out read)) return true;
                if (!BeginReceive())
                {
                    EndReceive();
                    continue;
                }

                receiving = true;
            }

            if (Interlocked.CompareExchange(ref meeting, Waiting, Nobody) == Nobody)
            {
                // Who ended the exchange just before this found nobody to wake.
                if (!IsEnded || Interlocked.CompareExchange(ref meeting, Nobody, Waiting) != Waiting)
                {
                    read = default;
                    return false;
                }

                continue;
            }

            Volatile.Write(ref meeting, Nobody);
            receiving = false;
            EndReceive();
        }
    }
}
