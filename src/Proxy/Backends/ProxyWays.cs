using Proxy.Chat;

namespace Proxy.Backends;

/// <summary>
/// Which ways lead to a model through other proxies. A proxy tells another the whole way to a model's host (a path vector), and only ways that the other is not
/// on; so no proxy is offered a way that leads back to it,
/// and a model whose host is gone is gone with the way, however the proxies are linked.
/// </summary>
internal static class ProxyWays
{
    /// <summary>Ways that are told of one model, the shortest first: one that is free is enough, and they are told every ten seconds.</summary>
    private const int Told = 4;

    /// <summary>
    /// Whether a call that came by <paramref name="via"/> can be answered by a backend: it is no proxy, or one from which a way leads on that the call has not
    /// come by.
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

    /// <summary>The candidates that a call can be given to; all of them where it comes from a client and none is a proxy, as nearly always.</summary>
    public static IReadOnlyList<Backend> Open(Resolution resolution, string? via, ProxyIdentity own) =>
        resolution.HasProxies ? [.. resolution.Candidates.Where(backend => Leads(backend, resolution.Served, via, own))] : resolution.Candidates;

    /// <summary>The ways to a model that may be told to a proxy which asks; none where it is down, or has no way but through the one that asks.</summary>
    public static IReadOnlyList<string[]> To(Resolution resolution, string asker)
    {
        if (resolution.InProcess is not null) return [[]];
        var ways = new List<string[]>();
        foreach (var backend in resolution.Candidates)
        {
            if (backend.State.Health is BackendHealth.Down) continue;
            if (backend.ProxyId is not { } id) ways.Add([]);
            else if (backend.Learned(resolution.Served)?.Told is not { } told) ways.Add([id]); // the configuration says that it has it
            else ways.AddRange(told.Ways.Select(way => (string[])[id, .. way]));
        }

        // With those of the one that asks and of its client's own, a call passes no more proxies than it may.
        return
        [
            .. ways.Where(way => way.Length <= Via.MostHops - 2 && !way.Contains(asker))
                .DistinctBy(static way => string.Join(' ', way)).OrderBy(static way => way.Length)
                .ThenBy(static way => string.Join(' ', way), StringComparer.Ordinal).Take(Told),
        ];
    }

    /// <summary>Why a call for which no way is open is refused.</summary>
    public static ProxyError Loop(string model, IEnumerable<Backend> candidates, ProxyIdentity own)
    {
        var names = string.Join(", ", candidates.Select(backend => backend.ProxyId == own.Id
            ? $"'{backend.Name}' is this proxy itself" : $"'{backend.Name}' leads back to a proxy that the call has come through"));
        return new(ProxyErrorKind.ProxyLoop,
            $"the call for '{ModelName.Shown(model)}' would go round for ever: {names}; no host of the model can be reached from here");
    }
}
