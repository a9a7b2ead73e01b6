using Proxy.Config;

namespace Proxy.Backends;

internal enum BackendHealth { Unknown, Up, Down }

internal enum BreakerState { Closed, Open }

/// <summary>
/// What is known of a backend from talking to it: its health, what it said it serves, its calls in flight. Keyed by name and url, so it outlives a reload.
/// Thread-safe.
/// </summary>
internal sealed class BackendState(string name, TimeProvider time)
{
    /// <summary>Failures in a row that open the breaker.</summary>
    public const int Tolerance = 3;

    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(15);
    private readonly Lock gate = new();
    private int failures;
    private int openings;
    private long openUntil;
    private bool connectionLost;

    public string Name => name;
    public BackendHealth Health { get; private set; }
    public BreakerState Breaker { get; private set; }

    /// <summary>Why it is down, in words; null while it is up.</summary>
    public string? Reason { get; private set; }

    /// <summary>What the host last said it is and serves; null until it answered once.</summary>
    public HostReport? Report { get; set; }

    /// <summary>Generations the host runs at a time, by the current configuration; null is without limit.</summary>
    public int? Slots { get; set; }

    /// <summary>Calls that hold a slot. Changed under the <see cref="SlotQueue"/>'s lock.</summary>
    public int InFlight { get; set; }

    /// <summary>Calls given to it, ever: spreads calls over equally free backends by weight.</summary>
    public long Given { get; set; }

    public bool Available => Health is not BackendHealth.Down && Breaker is BreakerState.Closed;

    /// <summary>It answered. Returns whether that is news.</summary>
    public bool MarkUp()
    {
        lock (gate)
        {
            // A host that accepts connections but fails calls has to sit its pause out: being reachable says nothing of that.
            if (Breaker is BreakerState.Open && !connectionLost && time.GetTimestamp() < openUntil) return false;

            // For the same reason only a call that was answered, or a pause sat out, wipes what calls have failed.
            if (connectionLost || Breaker is BreakerState.Open) failures = 0;
            var news = !Available;
            Health = BackendHealth.Up;
            Breaker = BreakerState.Closed;
            connectionLost = false;
            Reason = null;
            return news;
        }
    }

    /// <summary>A call was answered well: the breaker's memory is wiped.</summary>
    public void MarkServed()
    {
        if (Volatile.Read(ref failures) == 0 && Volatile.Read(ref openings) == 0) return;
        lock (gate)
        {
            failures = 0;
            openings = 0;
        }
    }

    /// <summary>It failed in a way that is its own fault. Returns whether it went down by this.</summary>
    public bool MarkFailed(string reason, bool connection)
    {
        lock (gate)
        {
            var was = Available;
            connectionLost = connection;
            if (++failures < Tolerance) return false;

            Reason = reason;

            if (Breaker is BreakerState.Closed)
            {
                Breaker = BreakerState.Open;
                var pause = TimeSpan.FromSeconds(Math.Min(Math.Pow(2, openings++), LongestPause.TotalSeconds));
                openUntil = time.GetTimestamp() + (long)(pause.TotalSeconds * time.TimestampFrequency);
            }

            return was;
        }
    }

    /// <summary>A probe could not reach it. Returns whether that is news.</summary>
    public bool MarkDown(string reason)
    {
        lock (gate)
        {
            var was = Available;
            Health = BackendHealth.Down;
            Reason = reason;
            return was;
        }
    }
}
