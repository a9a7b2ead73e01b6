using Proxy.Config;

namespace Proxy.Backends;

internal enum BackendHealth { Unknown, Up, Down }

internal enum BreakerState
{
    Closed,
    Open,

    /// <summary>Its pause is over: one call at a time is given to it, until one is answered (closed) or fails (open again, for longer).</summary>
    HalfOpen,
}

/// <summary>
/// What is known of a backend from talking to it: its health, what it said it serves, its calls in flight. Keyed by name and url, so it outlives a reload.
/// Thread-safe.
/// </summary>
internal sealed class BackendState(string name, TimeProvider time)
{
    /// <summary>Failures in a row that open the breaker.</summary>
    public const int Tolerance = 3;

    /// <summary>A long answer is no failure: after this time the next call is let in, whether or not the one that tries it out has come back.</summary>
    private static readonly TimeSpan Trial = TimeSpan.FromSeconds(5);

    /// <summary>A host that wants to be left alone for longer is asked again after this time.</summary>
    private static readonly TimeSpan LongestAvoidance = TimeSpan.FromSeconds(60);

    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(15);
    private readonly Lock gate = new();
    private int failures;
    private int openings;
    private long openUntil;
    private long tryingUntil;
    private bool connectionLost;
    private long heardBefore;
    private long avoidUntil;

    /// <summary>Probes in a row that were not answered, while no running call brought a byte either.</summary>
    public int Silences { get; private set; }

    /// <summary>It went down because it could not be reached, or said nothing; not because of what it said.</summary>
    public bool IsAway { get; private set; }

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

    /// <summary>Calls may wait for it.</summary>
    public bool Available => Health is not BackendHealth.Down && Breaker is not BreakerState.Open;

    /// <summary>It said when to come again, and that time has not come. No clock is read where it said nothing.</summary>
    public bool IsAvoided => Volatile.Read(ref avoidUntil) is not 0 and var until && time.GetTimestamp() < until;

    /// <summary>A call may be given to it now, if it has a slot.</summary>
    public bool MayTake => Available && (Breaker is BreakerState.Closed || time.GetTimestamp() >= tryingUntil);

    /// <summary>A call is given to it: while the breaker is half open, the only one for a while. Called under the <see cref="SlotQueue"/>'s lock.</summary>
    public void Take()
    {
        InFlight++;
        Given++;
        if (Breaker is BreakerState.HalfOpen) tryingUntil = time.GetTimestamp() + (long)(Trial.TotalSeconds * time.TimestampFrequency);
    }

    /// <summary>A call is over, whatever came of it. Called under the <see cref="SlotQueue"/>'s lock.</summary>
    public void Return()
    {
        InFlight--;
        tryingUntil = 0;
    }

    /// <summary>It refused a call and said when to come again. Returns for how long it is avoided; null where it is already.</summary>
    public TimeSpan? Avoid(TimeSpan wait)
    {
        if (wait > LongestAvoidance) wait = LongestAvoidance;
        var was = IsAvoided;
        Volatile.Write(ref avoidUntil, time.GetTimestamp() + (long)(wait.TotalSeconds * time.TimestampFrequency));
        return was ? null : wait;
    }

    /// <summary>A probe was answered.</summary>
    /// <param name="heard">What its connections have brought so far: <see cref="Transport.UpstreamClient.Heard"/>.</param>
    public void MarkAnswered(long heard)
    {
        lock (gate) (Silences, heardBefore, IsAway) = (0, heard, false);
    }

    /// <summary>A probe was not answered. Returns <see cref="Silences"/>.</summary>
    /// <param name="heard">As above: a call that has brought something since the last probe shows that the host lives.</param>
    public int MarkSilent(long heard)
    {
        lock (gate)
        {
            Silences = heard == heardBefore ? Silences + 1 : 0;
            heardBefore = heard;
            return Silences;
        }
    }

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
            // A probe proves a connection, not that calls are answered.
            Breaker = Breaker is BreakerState.Closed || connectionLost ? BreakerState.Closed : BreakerState.HalfOpen;
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
            if (Breaker is BreakerState.HalfOpen) Breaker = BreakerState.Closed;
        }
    }

    /// <summary>It failed in a way that is its own fault. Returns whether it went down by this.</summary>
    public bool MarkFailed(string reason, bool connection)
    {
        lock (gate)
        {
            var was = Available;
            connectionLost = connection;
            if (++failures < Tolerance && Breaker is not BreakerState.HalfOpen) return false;

            Reason = reason;

            if (Breaker is not BreakerState.Open)
            {
                Breaker = BreakerState.Open;
                var pause = TimeSpan.FromSeconds(Math.Min(Math.Pow(2, openings++), LongestPause.TotalSeconds));
                openUntil = time.GetTimestamp() + (long)(pause.TotalSeconds * time.TimestampFrequency);
            }

            return was;
        }
    }

    /// <summary>A probe could not reach it, or was answered that it cannot be used. Returns whether that is news.</summary>
    public bool MarkDown(string reason, bool isAway = false)
    {
        lock (gate)
        {
            var was = Available;
            IsAway |= isAway;
            Health = BackendHealth.Down;
            Reason = reason;
            return was;
        }
    }
}
