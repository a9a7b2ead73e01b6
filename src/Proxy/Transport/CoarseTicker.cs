namespace Proxy.Transport;

/// <summary>An object that the ticker calls at every tick. <see cref="Tick"/> must be short: all registrations share one thread.</summary>
internal interface ITicked
{
    /// <summary>The ticker's own index; only the ticker may use it. 0 while not registered.</summary>
    int TickMark { get; set; }

    /// <param name="now"><see cref="CoarseTicker.Now"/> at the start of the tick.</param>
    void Tick(long now);
}

/// <summary>
/// One timer for all time-outs of the process. It fires every 100 ms while anything is registered, and is stopped otherwise. Registering and
/// unregistering cost a lock and a few writes. Thread-safe. A <see cref="ITicked.Tick"/> may still run during <see cref="Unregister"/>, or shortly after it.
/// </summary>
internal sealed class CoarseTicker : IDisposable
{
    public static readonly TimeSpan Period = TimeSpan.FromMilliseconds(100);

    private readonly TimeProvider time;
    private readonly ITimer timer;
    private readonly Lock gate = new();
    private readonly long startStamp;
    private readonly long startMilliseconds;
    private ITicked?[] registered = new ITicked?[64];
    private ITicked?[] round = [];
    private int count;
    private bool running;
    private bool disposed;
    private int inRound;

    public CoarseTicker(TimeProvider time)
    {
        this.time = time;
        startStamp = time.GetTimestamp();
        startMilliseconds = Environment.TickCount64;
        timer = time.CreateTimer(static state => ((CoarseTicker)state!).Round(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    public TimeProvider Time => time;

    /// <summary>
    /// Milliseconds of <see cref="Environment.TickCount64"/>. With a test's <see cref="TimeProvider"/>: the value at construction plus the time that
    /// the provider has advanced since.
    /// </summary>
    public long Now => ReferenceEquals(time, TimeProvider.System)
        ? Environment.TickCount64
        : startMilliseconds + (long)time.GetElapsedTime(startStamp).TotalMilliseconds;

    public void Register(ITicked ticked)
    {
        lock (gate)
        {
            if (ticked.TickMark != 0 || disposed) return;
            if (count == registered.Length) Array.Resize(ref registered, count * 2);
            registered[count++] = ticked;
            ticked.TickMark = count;
            if (running) return;
            running = true;
            timer.Change(Period, Period);
        }
    }

    public void Unregister(ITicked ticked)
    {
        lock (gate)
        {
            if (ticked.TickMark == 0) return;
            var last = registered[--count]!;
            registered[ticked.TickMark - 1] = last;
            last.TickMark = ticked.TickMark;
            registered[count] = null;
            ticked.TickMark = 0;
        }
    }

    public void Dispose()
    {
        lock (gate) disposed = true;
        timer.Dispose();
    }

    private void Round()
    {
        // Rounds must not overlap: they share one scratch array. A tick that comes during a late round is skipped.
        if (Interlocked.Exchange(ref inRound, 1) != 0) return;
        try
        {
            int ticking;
            lock (gate)
            {
                ticking = count;
                if (ticking == 0)
                {
                    // Stop the timer here and not in Unregister, so that consecutive single requests do not start and stop it each time.
                    running = false;
                    if (!disposed) timer.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
                    round = [];
                    return;
                }

                if (round.Length < ticking) round = new ITicked?[registered.Length];
                Array.Copy(registered, round, ticking);
            }

            var now = Now;
            for (var i = 0; i < ticking; i++) round[i]!.Tick(now);
            Array.Clear(round, 0, ticking);
        }
        finally
        {
            Volatile.Write(ref inRound, 0);
        }
    }
}
