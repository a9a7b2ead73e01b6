namespace Proxy.Backends.Picking;

/// <summary>
/// Chooses the backend with the most free slots; among equals (all of them, where slots are unlimited) the one with the fewest calls for its weight,
/// then the one that has been given the fewest for its weight.
/// </summary>
internal static class LeastBusy
{
    /// <summary>
    /// Null when none is available with a free slot. With <paramref name="evenDown"/>, one that a probe did not reach will do as long as its breaker is closed:
    /// where nothing else is left, a try costs little, and the host may have come back since. Reads counts that only the <see cref="SlotQueue"/>'s lock keeps still.
    /// </summary>
    public static Backend? Pick(IReadOnlyList<Backend> candidates, bool evenDown = false)
    {
        Backend? best = null;
        var bestFree = 0;
        for (var i = 0; i < candidates.Count; i++)
        {
            var candidate = candidates[i];
            if (!candidate.State.MayTake && !(evenDown && candidate.State.Breaker is BreakerState.Closed)) continue;
            var free = candidate.Slots is { } slots ? slots - candidate.State.InFlight : int.MaxValue;
            if (free <= 0) continue;
            if (best is null || free > bestFree || (free == bestFree && Compare(candidate, best) < 0)) (best, bestFree) = (candidate, free);
        }

        return best;
    }

    private static int Compare(Backend a, Backend b)
    {
        var busy = ((long)a.State.InFlight * b.Config.Weight).CompareTo((long)b.State.InFlight * a.Config.Weight);
        return busy != 0 ? busy : (a.State.Given * b.Config.Weight).CompareTo(b.State.Given * a.Config.Weight);
    }
}
