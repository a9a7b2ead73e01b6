using Proxy.Telemetry;

namespace Proxy.Http.Console;

/// <summary>A finished call.</summary>
/// <param name="Number">Counts the finished calls from 1.</param>
/// <param name="Record">The call; it does not change any more.</param>
/// <param name="Duration">From its request to its end.</param>
/// <param name="Ended">When it ended.</param>
internal readonly record struct FinishedCall(long Number, CallRecord Record, TimeSpan Duration, DateTimeOffset Ended);

/// <summary>
/// The calls that finished last, in memory that is allocated once. Calls that name no model and end well (listings, for example) are left out: a page that
/// polls them would displace everything else. Thread-safe.
/// </summary>
internal sealed class RecentCalls(TimeProvider time)
{
    /// <summary>The number of calls that are remembered.</summary>
    public const int Kept = 200;

    private readonly Lock gate = new();
    private readonly FinishedCall[] ring = new FinishedCall[Kept];
    private long last;

    public void Add(CallRecord record, TimeSpan duration)
    {
        if (record is { Model: null, Outcome: CallOutcome.Ok } && !record.Surface.EndsWith("/search", StringComparison.Ordinal)) return;
        var now = time.GetUtcNow();
        lock (gate)
        {
            last++;
            ring[last % Kept] = new(last, record, duration, now);
        }
    }

    /// <summary>The calls whose number is larger, the oldest first.</summary>
    public IReadOnlyList<FinishedCall> After(long number)
    {
        lock (gate)
        {
            var first = Math.Max(Math.Max(number, 0) + 1, last - Kept + 1);
            var found = new List<FinishedCall>();
            for (var at = first; at <= last; at++) found.Add(ring[at % Kept]);
            return found;
        }
    }
}
