namespace Proxy.Backends.Picking;

/// <summary>
/// Chooses the backend with the most free slots; among equals (all of them, if slots are unlimited) the one with the fewest running calls for its weight, then
/// the one that was given the fewest calls for its weight.
/// </summary>
internal static class LeastBusy
{
    /// <summary>
    /// Null if no candidate is available with a free slot. With <paramref name="evenDown"/>, a backend that a probe did not reach is chosen too as long as its
    /// breaker is closed: if no other is left, an attempt costs little, and the host may be back since. Call it under the <see cref="SlotQueue"/>'s lock, which
    /// protects the counts.
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
            var free = candidate.Slots is { } slots ? (candidate.State.Quota ?? slots) - candidate.State.InFlight : int.MaxValue;
            if (free <= 0) continue;
            if (best is null || free > bestFree || (free == bestFree && Compare(candidate, best) < 0)) (best, bestFree) = (candidate, free);
        }

        return best;
    }

    /// <summary>Whether its <c>retry-after</c> has not passed yet and another candidate can serve, even one that is busy now.</summary>
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
