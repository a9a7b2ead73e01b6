using System.Threading.Tasks.Sources;

namespace Proxy.Buffers;

/// <summary>
/// What a reader waits for that is woken by several things and by the clock, again and again. Waiting allocates nothing and sets a timer only if the one that
/// is set would ring too late. It may ring early, so the reader looks at the clock itself. For one reader; thread-safe for those that ring.
/// </summary>
internal sealed class Alarm : IValueTaskSource, IDisposable
{
    private readonly TimeProvider time;
    private readonly ITimer timer;
    private readonly Lock gate = new();
    private readonly long start;
    private ManualResetValueTaskSourceCore<bool> core;
    private TimeSpan due = TimeSpan.MaxValue; // since start
    private bool isWaiting;
    private bool hasRung;

    public Alarm(TimeProvider time)
    {
        this.time = time;
        start = time.GetTimestamp();
        Ring = () => Wake(elsewhere: false);
        timer = time.CreateTimer(static state => ((Alarm)state!).OnDue(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Wakes the reader on the calling thread.</summary>
    public Action Ring { get; }

    /// <summary>Wakes the reader on another thread.</summary>
    public void RingElsewhere() => Wake(elsewhere: true);

    /// <summary>Waits until it rings, at the latest after the given time. <see cref="Timeout.InfiniteTimeSpan"/>: only when it is rung.</summary>
    public ValueTask WaitAsync(TimeSpan atMost)
    {
        lock (gate)
        {
            if (hasRung)
            {
                hasRung = false;
                return default;
            }

            if (atMost != Timeout.InfiniteTimeSpan && time.GetElapsedTime(start) + atMost is var wanted && wanted < due)
            {
                due = wanted;
                // A timer counts whole milliseconds, and must not ring before the time that the reader looks for.
                timer.Change(atMost + TimeSpan.FromMilliseconds(1), Timeout.InfiniteTimeSpan);
            }

            core.Reset();
            isWaiting = true;
            return new(this, core.Version);
        }
    }

    public void Dispose() => timer.Dispose();

    void IValueTaskSource.GetResult(short token) => core.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource.GetStatus(short token) => core.GetStatus(token);

    void IValueTaskSource.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        core.OnCompleted(continuation, state, token, flags);

    private void OnDue()
    {
        lock (gate) due = TimeSpan.MaxValue;
        Wake(elsewhere: false);
    }

    private void Wake(bool elsewhere)
    {
        lock (gate)
        {
            if (!isWaiting)
            {
                hasRung = true;
                return;
            }

            isWaiting = false;
            core.RunContinuationsAsynchronously = elsewhere;
        }

        core.SetResult(true);
    }
}
