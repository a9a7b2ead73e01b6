using Proxy.Chat;

namespace Proxy.Backends;

/// <summary>
/// Decides which ways lead to a model through other proxies. A proxy reports the whole way to a model's host (a path vector), and only ways that do not contain
/// the asking proxy. So no proxy is offered a way that leads back to it, and when a model's host is gone, the model disappears together with its ways, however
/// the proxies are linked.
/// </summary>
internal static class ProxyWays
{
    /// <summary>Number of ways reported for a model, the shortest first. One free way is enough, and they are reported every ten seconds.</summary>
    private const int Told = 4;

    /// <summary>
    /// Whether a backend can answer a call that came by <paramref name="via"/>: it is not a proxy, or it has a way that contains none of the proxies which the
    /// call
    /// has passed.
    /// </summary>
    public static bool Leads(Backend backend, string served, string? via, ProxyIdentity own)
    {
        if (backend.ProxyId is not { } id) return true;
        if (id == own.Id || Via.Names(via, id)) return false;
        var left = Via.MostHops - Via.Hops(via) - 2; // this proxy and that one
        if (left < 0) return false;
        return backend.Learned(served)?.Told is not { } told
            || told.Ways.Any(way => way.Length <= left && !way.Any(hop => hop == own.Id || Via.Names(via, hop)));
    }

    /// <summary>The candidates that may get a call; nearly always all of them, because none is a proxy.</summary>
    public static IReadOnlyList<Backend> Open(Resolution resolution, string? via, ProxyIdentity own) =>
        resolution.HasProxies ? [.. resolution.Candidates.Where(backend => Leads(backend, resolution.Served, via, own))] : resolution.Candidates;

    /// <summary>The ways to a model that an asking proxy may be told; none if its host is down, or if every way passes the asking proxy.</summary>
    public static IReadOnlyList<string[]> To(Resolution resolution, string asker)
    {
        if (resolution.InProcess is not null) return [[]];
        var ways = new List<string[]>();
        foreach (var backend in resolution.Candidates)
        {
            if (backend.State.Health is BackendHealth.Down) continue;
            if (backend.ProxyId is not { } id) ways.Add([]);
            else if (backend.Learned(resolution.Served)?.Told is not { } told) ways.Add([id]); // by configuration
            else ways.AddRange(told.Ways.Select(way => (string[])[id, .. way]));
        }

        // Room is left for the asking proxy and for its own client, so that a call never passes more proxies than allowed.
        return
        [
            .. ways.Where(way => way.Length <= Via.MostHops - 2 && !way.Contains(asker))
                .DistinctBy(static way => string.Join(' ', way)).OrderBy(static way => way.Length)
                .ThenBy(static way => string.Join(' ', way), StringComparer.Ordinal).Take(Told),
        ];
    }

    /// <summary>The error for a call that every candidate would send back to a proxy which it has passed.</summary>
    public static ProxyError Loop(string model, IEnumerable<Backend> candidates, ProxyIdentity own)
    {
        var names = string.Join(", ", candidates.Select(backend => backend.ProxyId == own.Id
            ? $"'{backend.Name}' is this proxy itself" : $"'{backend.Name}' leads back to a proxy that the call has come through"));
        return new(ProxyErrorKind.ProxyLoop,
            $"the call for '{ModelName.Shown(model)}' would loop: {names}; no host of the model can be reached from here");
    }
}
