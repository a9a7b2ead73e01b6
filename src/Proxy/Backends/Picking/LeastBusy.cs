namespace Proxy.Backends.Picking;

/// <summary>
/// Chooses the backend with the most free slots; among equals (all of them, where slots are unlimited) the one with the fewest calls for its weight,
/// then the one that has been given the fewest for its weight.
/// </summary>
internal static class LeastBusy
{
    /// <summary>
    /// Null when none is available with a free slot. With <paramref name="evenDown"/>, one that a probe did not reach will do as long as its breaker is closed:
    /// where nothing else is left, a try costs little, and the host may have come back since. Reads counts that only the <see cref="SlotQueue"/>'s lock keeps
    /// still.
    /// </summary>
    public static Backend? Pick(IReadOnlyList<Backend> candidates, bool evenDown = false)
    {
        Backend? best = null;
        var bestFree = 0;
        for (var i = 0; i < candidates.Count; i++)
        {
            var candidate = candidates[i];
            if (!candidate.State.MayTake && !(evenDown && candidate.State.Breaker is BreakerState.Closed)) continue;
            if (IsPassedOver(candidate, candidates)) continue;
            var free = candidate.Slots is { } slots ? slots - candidate.State.InFlight : int.MaxValue;
            if (free <= 0) continue;
            if (best is null || free > bestFree || (free == bestFree && Compare(candidate, best) < 0)) (best, bestFree) = (candidate, free);
        }

        return best;
    }

    /// <summary>It said when to come again, and until then another one is there that can serve, be it busy at the moment.</summary>
    public static bool IsPassedOver(Backend candidate, IReadOnlyList<Backend> candidates)
    {
        if (!candidate.State.IsAvoided) return false;
        for (var i = 0; i < candidates.Count; i++)
        {
            if (candidates[i].State.Available && !candidates[i].State.IsAvoided) return true;
        }

        return false;
    }

    private static int Compare(Backend a, Backend b)
    {
        var busy = ((long)a.State.InFlight * b.Config.Weight).CompareTo((long)b.State.InFlight * a.Config.Weight);
        return busy != 0 ? busy : (a.State.Given * b.Config.Weight).CompareTo(b.State.Given * a.Config.Weight);
    }
}
