using Proxy.Config;

namespace Proxy.Backends;

internal enum BackendHealth { Unknown, Up, Down }

internal enum BreakerState
{
    Closed,
    Open,

    /// <summary>Its pause is over. It gets one call at a time, until a call is answered (closed) or fails (open again, for longer).</summary>
    HalfOpen,
}

/// <summary>
/// The state of a backend: its health, its host's last report, its running calls. Kept by name and url, so it survives a reload. Thread-safe.
/// </summary>
internal sealed class BackendState(string name, TimeProvider time)
{
    /// <summary>Failures in a row that open the breaker.</summary>
    public const int Tolerance = 3;

    /// <summary>After this time the next trial call is let in even if the current one is not answered yet, because a long answer is not a failure.</summary>
    private static readonly TimeSpan Trial = TimeSpan.FromSeconds(5);

    /// <summary>The longest time for which a <c>retry-after</c> is obeyed.</summary>
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

    /// <summary>Unanswered probes in a row during which no running call brought a byte.</summary>
    public int Silences { get; private set; }

    /// <summary>Whether it went down because it could not be reached or did not answer, and not because of its answer.</summary>
    public bool IsAway { get; private set; }

    public string Name => name;
    public BackendHealth Health { get; private set; }
    public BreakerState Breaker { get; private set; }

    /// <summary>Why it is down; null while it is up.</summary>
    public string? Reason { get; private set; }

    /// <summary>The host's last report; null until it answered once.</summary>
    public HostReport? Report { get; set; }

    /// <summary>Generations that the host runs at a time, by the current configuration; null means no limit.</summary>
    public int? Slots { get; set; }

    /// <summary>
    /// The slots that this process may use after it has handed over to another one, which grants all the others; null: it has not. Changed under the
    /// <see cref="SlotQueue"/>'s lock.
    /// </summary>
    public int? Quota { get; set; }

    /// <summary>Calls that hold a slot, also those of processes that handed over to this one. Changed under the <see cref="SlotQueue"/>'s lock.</summary>
    public int InFlight { get; set; }

    /// <summary>Number of calls given to it. Used to spread calls over equally free backends by weight.</summary>
    public long Given { get; set; }

    /// <summary>Whether calls may wait for it.</summary>
    public bool Available => Health is not BackendHealth.Down && Breaker is not BreakerState.Open;

    /// <summary>Whether the time of its <c>retry-after</c> has not passed yet. Without one, no clock is read.</summary>
    public bool IsAvoided => Volatile.Read(ref avoidUntil) is not 0 and var until && time.GetTimestamp() < until;

    /// <summary>Whether it may get a call now, if it has a free slot.</summary>
    public bool MayTake => Available && (Breaker is BreakerState.Closed || time.GetTimestamp() >= tryingUntil);

    /// <summary>
    /// Counts a call given to it. While the breaker is half open, that is the only one for a while. Called under the <see cref="SlotQueue"/>'s lock.
    /// </summary>
    public void Take()
    {
        InFlight++;
        Given++;
        if (Breaker is BreakerState.HalfOpen) tryingUntil = time.GetTimestamp() + (long)(Trial.TotalSeconds * time.TimestampFrequency);
    }

    /// <summary>Counts a finished call, successful or not. Called under the <see cref="SlotQueue"/>'s lock.</summary>
    public void Return()
    {
        InFlight--;
        tryingUntil = 0;
    }

    /// <summary>It refused a call with a <c>retry-after</c>. Returns for how long it is avoided; null if it was avoided already.</summary>
    public TimeSpan? Avoid(TimeSpan wait)
    {
        if (wait > LongestAvoidance) wait = LongestAvoidance;
        var was = IsAvoided;
        Volatile.Write(ref avoidUntil, time.GetTimestamp() + (long)(wait.TotalSeconds * time.TimestampFrequency));
        return was ? null : wait;
    }

    /// <summary>Notes that a probe was answered.</summary>
    /// <param name="heard">Bytes that its connections have brought so far: <see cref="Transport.UpstreamClient.Heard"/>.</param>
    public void MarkAnswered(long heard)
    {
        lock (gate) (Silences, heardBefore, IsAway) = (0, heard, false);
    }

    /// <summary>Notes that a probe was not answered. Returns <see cref="Silences"/>.</summary>
    /// <param name="heard">As above. If it grew since the last probe, a running call has brought bytes, so the host is alive.</param>
    public int MarkSilent(long heard)
    {
        lock (gate)
        {
            Silences = heard == heardBefore ? Silences + 1 : 0;
            heardBefore = heard;
            return Silences;
        }
    }

    /// <summary>Notes that it answered a probe. Returns whether it was unavailable before.</summary>
    public bool MarkUp()
    {
        lock (gate)
        {
            // A host that accepts connections but fails calls must wait out its pause: a probe does not show that calls succeed.
            if (Breaker is BreakerState.Open && !connectionLost && time.GetTimestamp() < openUntil) return false;

            // For the same reason the failures are forgotten only after an answered call or a pause that was waited out.
            if (connectionLost || Breaker is BreakerState.Open) failures = 0;
            var news = !Available;
            Health = BackendHealth.Up;
            // A probe shows that connections work, not that calls are answered.
            Breaker = Breaker is BreakerState.Closed || connectionLost ? BreakerState.Closed : BreakerState.HalfOpen;
            connectionLost = false;
            Reason = null;
            return news;
        }
    }

    /// <summary>Notes a successful call: the breaker's failures are forgotten.</summary>
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

    /// <summary>Notes a failure that the host caused. Returns whether this made it unavailable.</summary>
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

    /// <summary>Notes that a probe could not reach it, or that its answer makes it unusable. Returns whether it was available before.</summary>
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
