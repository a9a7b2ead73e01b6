using System.Runtime.CompilerServices;
using Microsoft.Extensions.Logging;
using Proxy.Chat;

namespace Proxy.Backends;

/// <summary>
/// Has a call answered by one of the backends that serve its model: waits for a slot, tries that backend, and fails over to the next one as long as no answer
/// has begun. It returns a reply and cannot write to a client.
/// </summary>
internal sealed class BackendDispatcher(BackendDirectory directory, SlotQueue slots, ILogger log, TimeProvider time)
{
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<DispatchResult> SendAsync(IDispatchable call, string model, Resolution resolution, CancellationToken cancellation)
    {
        var started = time.GetTimestamp();
        var candidates = resolution.HasProxies ? ProxyWays.Open(resolution, call.Info.Via, directory.Identity) : resolution.Candidates;
        if (candidates.Count == 0) return new DispatchResult.Failed(ProxyWays.Loop(model, resolution.Candidates, directory.Identity));
        var times = call.Info.Times;
        times.Ask(started);
        ProxyError? last = null;
        ProxyError? soonest = null;
        var lacked = false;
        List<Backend>? uncertain = null;
        while (true)
        {
            var pending = slots.TakeAsync(model, candidates, directory.Table.Config.Server.Queue, Patience(candidates), cancellation);
            long? began = pending.IsCompleted ? null : time.GetTimestamp();
            if (began is { } waits) times.Wait(waits);
            var grant = await pending;
            var now = time.GetTimestamp();
            if (began is not null) times.EndWait(now);
            if (grant.Lease is not { } lease) return new DispatchResult.Failed(last ?? Explain(grant.Refusal, model, candidates));

            times.Grant(now);
            var backend = lease.Backend;
            if (backend.IsEcho) return new DispatchResult.Echo(lease, resolution.Served);
            var isTrial = backend.State.Breaker is BreakerState.HalfOpen;
            var queued = began is { } asked ? time.GetElapsedTime(asked, now) : TimeSpan.Zero;
            var elapsed = backend.Config.Total is null ? TimeSpan.Zero : time.GetElapsedTime(started);
            using var attempt =
                Begin(call, lease, resolution.Served, queued, elapsed, !lacked && IsAnyOther(candidates, backend), cancellation, out var unsayable);
            switch (attempt is null ? new AttemptResult.TryNext(unsayable!) : await attempt.ReadAsync(await attempt.SendAsync(call)))
            {
                case AttemptResult.Answered answered:
                    // Another host accepted the call, so the host that answered it with a 5xx was at fault.
                    if (answered.Reply.Status < 300) uncertain?.ForEach(Blame);
                    if (isTrial) slots.Recheck(); // the circuit breaker has closed: calls that waited for this backend may go on
                    return new DispatchResult.Answered(answered.Reply);
                case AttemptResult.GaveUp final:
                    times.Fail(backend.Name, final.Error.Kind, time.GetTimestamp());
                    return new DispatchResult.Failed(final.Error);
                case AttemptResult.TryNext next:
                    last = next.Error;
                    times.Fail(backend.Name, last.Kind, time.GetTimestamp());
                    lacked |= next.LacksModel;
                    if (next.ComeAgain is { } wait) Avoid(backend, wait);
                    // If several hosts are overloaded, the client gets the shortest of their retry-after times.
                    if (last is { Kind: ProxyErrorKind.HostRefused, RetryAfter: { } told })
                    {
                        soonest = soonest?.RetryAfter <= told ? soonest : last;
                        last = soonest;
                    }

                    if (!backend.State.Available) slots.Recheck(); // the backend went down: fails the calls that wait for it alone
                    if (next.Uncertain)
                    {
                        // One failover for a 5xx: a call that fails at two hosts would fail at a third.
                        if (uncertain is not null) return new DispatchResult.Failed(last);
                        uncertain = [backend];
                    }

                    break;
            }

            candidates = [.. candidates.Where(b => b != backend)];
            if (candidates.Count == 0 || cancellation.IsCancellationRequested) return new DispatchResult.Failed(last!);
        }
    }

    /// <summary>Asks one backend something that is not a generation. Takes no slot, waits for none and does not fail over.</summary>
    public async ValueTask<DispatchResult> AskAsync(IDispatchable call, Backend backend, string served, CancellationToken cancellation)
    {
        if (!ProxyWays.Leads(backend, served, call.Info.Via, directory.Identity))
            return new DispatchResult.Failed(ProxyWays.Loop(served, [backend], directory.Identity));
        using var attempt = Begin(call, new Lease(null, backend), served, TimeSpan.Zero, TimeSpan.Zero, hasAlternative: false, cancellation, out var unsayable);
        return (attempt is null ? new AttemptResult.GaveUp(unsayable!) : await attempt.ReadAsync(await attempt.SendAsync(call))) switch
        {
            AttemptResult.Answered answered => new DispatchResult.Answered(answered.Reply),
            AttemptResult.GaveUp final => new DispatchResult.Failed(final.Error),
            AttemptResult.TryNext next => new DispatchResult.Failed(next.Error),
            _ => throw new System.Diagnostics.UnreachableException(),
        };
    }

    /// <summary>Null if the call cannot be expressed in this backend's dialect; that of another backend may do.</summary>
    private BackendAttempt? Begin(IDispatchable call, Lease lease, string served, TimeSpan queued, TimeSpan elapsed, bool hasAlternative,
        CancellationToken cancellation, out ProxyError? unsayable)
    {
        BackendAttempt? attempt = null;
        OutgoingCall outgoing = default;
        try
        {
            unsayable = call.Prepare(lease.Backend, served, out outgoing);
            if (unsayable is null)
            {
                attempt = new BackendAttempt(outgoing, lease, served, call.Info, queued, elapsed, log, time, cancellation)
                {
                    HasAlternative = hasAlternative
                };
            }

            return attempt;
        }
        finally
        {
            if (attempt is null)
            {
                outgoing.Owned?.Dispose();
                lease.Dispose();
            }
        }
    }

    private static bool IsAnyOther(IReadOnlyList<Backend> candidates, Backend backend)
    {
        for (var i = 0; i < candidates.Count; i++)
        {
            if (candidates[i] != backend && candidates[i].State.Available) return true;
        }

        return false;
    }

    /// <summary>Sends a host no calls for the time that it asked for. After that, waiting calls may use its slots again.</summary>
    private void Avoid(Backend backend, TimeSpan wait)
    {
        if (backend.State.Avoid(wait) is { } avoided) _ = RecheckAfterAsync(avoided);
    }

    private async Task RecheckAfterAsync(TimeSpan wait)
    {
        await Task.Delay(wait, time).ConfigureAwait(false);
        slots.Recheck();
    }

    private void Blame(Backend backend)
    {
        if (backend.IsProxy) return; // one of that proxy's hosts failed, not the proxy
        const string Reason = "it failed calls that another backend accepted";
        if (backend.State.MarkFailed(Reason, connection: false)) log.WentDown(backend.Name, Reason);
    }

    /// <summary>How long a call may wait for a slot: the longest time to the first token that its backends allow.</summary>
    private static TimeSpan Patience(IReadOnlyList<Backend> candidates)
    {
        var longest = TimeSpan.Zero;
        for (var i = 0; i < candidates.Count; i++)
        {
            if (candidates[i].Config.FirstToken is var patience && patience > longest) longest = patience;
        }

        return longest;
    }

    private static ProxyError Explain(SlotRefusal refusal, string model, IReadOnlyList<Backend> candidates) => refusal switch
    {
        SlotRefusal.QueueFull => new(ProxyErrorKind.QueueFull, $"all slots for '{ModelName.Shown(model)}' are busy and the queue is full")
        {
            RetryAfter = TimeSpan.FromSeconds(2)
        },
        SlotRefusal.TimedOut => new(ProxyErrorKind.QueueFull, $"no slot for '{ModelName.Shown(model)}' became free in time")
        {
            RetryAfter = TimeSpan.FromSeconds(5)
        },
        SlotRefusal.Cancelled => new(ProxyErrorKind.ClientLeft, "the client left"),
        _ => new(ProxyErrorKind.NoBackend,
            $"no backend for '{ModelName.Shown(model)}' is up: {string.Join("; ", candidates.Select(b => $"'{b.Name}' is down ({b.State.Reason})"))}")
        {
            RetryAfter = TimeSpan.FromSeconds(1),
            Backend = candidates.Count == 1 ? candidates[0].Name : null,
        },
    };
}
