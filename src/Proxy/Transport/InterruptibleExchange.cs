using System.Threading.Tasks.Sources;
using Proxy.Buffers;

namespace Proxy.Transport;

/// <summary>
/// An exchange whose wait is ended by received bytes, by the clock or by <see cref="ReplyBody.Cancel"/>, whichever claims the wait first. A pending
/// receive outlives a <see cref="ReplyReadKind.Quiet"/>. No allocation per read. Received bytes complete the wait on the thread that delivers them; the
/// clock and Cancel complete it on the thread pool.
/// </summary>
internal abstract class InterruptibleExchange(CoarseTicker ticker) : UpstreamExchange, IValueTaskSource<ReplyRead>, ITicked, IThreadPoolWorkItem
{
    // State shared by the reader and its receive: neither has arrived, the reader waits, the receive has finished, or the reader has left.
    // All changes are compare-and-swap. The thread that moves the state away from Waiting completes the reader, exactly once.
    private const int Nobody = 0;
    private const int Waiting = 1;
    private const int Arrived = 2;
    private const int Left = 3;

    // After this many reads without a wait, the next one completes on the thread pool, so that one busy reader does not block the thread that watches
    // the sockets.
    private const int ReadsInARow = 32;

    private ManualResetValueTaskSourceCore<ReplyRead> source;
    private ReplyRead postponed;
    private int meeting;
    private int ended; // 0, or the ReplyReadKind that ended the exchange
    private bool receiving;
    private int row;
    private bool registered;

    int ITicked.TickMark { get; set; }

    public override long Now => ticker.Now;

    protected CoarseTicker Ticker => ticker;

    /// <summary>Connecting or sending: no read is pending, but <see cref="ReplyBody.Deadline"/> applies.</summary>
    protected volatile bool Opening;

    /// <summary>The head has arrived, so <see cref="ReplyBody.QuietAt"/> applies.</summary>
    protected volatile bool Reading;

    protected bool IsEnded => Volatile.Read(ref ended) != 0;

    protected bool IsTimedOut => Volatile.Read(ref ended) == (int)ReplyReadKind.TimedOut;

    /// <summary>
    /// Starts a receive. True: <see cref="Received"/> will be called. False: it has already finished. Must not throw, even on a closed connection.
    /// </summary>
    protected abstract bool BeginReceive();

    /// <summary>Takes the result of the finished receive.</summary>
    protected abstract void EndReceive();

    /// <summary>Produces the next result from the received bytes; false if more bytes are needed.</summary>
    protected abstract bool TryProduce(out ReplyRead read);

    /// <summary>Releases the memory of a receive that outlived the reader.</summary>
    protected abstract void ReleaseReceive();

    /// <summary>Closes the connection at once, even during a send or a receive. Callable from any thread.</summary>
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

    /// <summary>The next part of the reply: from bytes already received, otherwise from the next receive.</summary>
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

    /// <summary>A receive has finished. Called by the watcher of the connection, if <see cref="BeginReceive"/> returned true.</summary>
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

    /// <summary>
    /// The reader is done. True if no receive is pending, so the caller may release its memory; otherwise <see cref="ReleaseReceive"/> will be called.
    /// </summary>
    protected bool TryLeave()
    {
        if (!receiving) return true;
        receiving = false;
        return Interlocked.CompareExchange(ref meeting, Left, Nobody) != Nobody;
    }

    /// <summary>Resets the state before a retry on another connection. No receive may be pending on the previous one.</summary>
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

        // First a check without claiming the wait. The reader owns the times; they are stable only after the wait is claimed, so check again then.
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

    // Completes the reader on the thread pool and not on the caller's stack: the caller may hold locks and has further exchanges to notify.
    private void Postpone(ReplyRead read)
    {
        postponed = read;
        ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
    }

    private void GoOn()
    {
        if (TryNext(out var read)) source.SetResult(read);
    }

    // True: here is the result. False: the reader waits, and the thread that claims the wait completes it.
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
                // An Interrupt just before this found no waiting reader to wake, so look again.
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
