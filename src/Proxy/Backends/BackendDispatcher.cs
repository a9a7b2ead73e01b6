using System.Runtime.CompilerServices;
using Microsoft.Extensions.Logging;
using Proxy.Chat;

namespace Proxy.Backends;

/// <summary>
/// Gets a call answered by one of the backends that serve its model: waits for a slot, tries, and tries the next one as long as the first has not begun to answer.
/// It returns a reply and cannot write to a client.
/// </summary>
internal sealed class BackendDispatcher(BackendDirectory directory, SlotQueue slots, ILogger log, TimeProvider time)
{
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<DispatchResult> SendAsync(IDispatchable call, string model, Resolution resolution, CancellationToken cancellation)
    {
        var started = time.GetTimestamp();
        var candidates = resolution.HasProxies ? ProxyWays.Open(resolution, call.Info.Via, directory.Identity) : resolution.Candidates;
        if (candidates.Count == 0) return new DispatchResult.Failed(ProxyWays.Loop(model, resolution.Candidates, directory.Identity));
        ProxyError? last = null;
        ProxyError? soonest = null;
        var lacked = false;
        List<Backend>? uncertain = null;
        while (true)
        {
            var pending = slots.TakeAsync(model, candidates, directory.Table.Config.Server.Queue, Patience(candidates), cancellation);
            long? waits = pending.IsCompleted ? null : time.GetTimestamp();
            var grant = await pending;
            if (grant.Lease is not { } lease) return new DispatchResult.Failed(last ?? Explain(grant.Refusal, model, candidates));

            var backend = lease.Backend;
            if (backend.IsEcho) return new DispatchResult.Echo(lease, resolution.Served);
            var tries = backend.State.Breaker is BreakerState.HalfOpen;
            var queued = waits is { } asked ? time.GetElapsedTime(asked) : TimeSpan.Zero;
            var elapsed = backend.Config.Total is null ? TimeSpan.Zero : time.GetElapsedTime(started);
            using var attempt = Begin(call, lease, resolution.Served, queued, elapsed, !lacked && IsAnyOther(candidates, backend), cancellation, out var unsayable);
            switch (attempt is null ? new AttemptResult.TryNext(unsayable!) : await attempt.ReadAsync(await attempt.SendAsync(call)))
            {
                case AttemptResult.Answered answered:
                    // Another host accepted the call, so those that said 5xx to it were at fault.
                    if (answered.Reply.Status < 300) uncertain?.ForEach(Blame);
                    if (tries) slots.Recheck(); // it is well again: who waited for that need not any longer
                    return new DispatchResult.Answered(answered.Reply);
                case AttemptResult.Refused refused:
                    return new DispatchResult.Failed(refused.Error);
                case AttemptResult.TryNext next:
                    last = next.Error;
                    lacked |= next.LacksModel;
                    if (next.ComeAgain is { } wait) Avoid(backend, wait);
                    // Of several that are overloaded, the one that will be free first is told.
                    if (last is { Kind: ProxyErrorKind.HostRefused, RetryAfter: { } told }) last = soonest = soonest?.RetryAfter <= told ? soonest : last;
                    if (!backend.State.Available) slots.Recheck(); // it went down by this: who waits for it alone need not
                    if (next.Uncertain)
                    {
                        // One failover for a 5xx: a call that two hosts cannot answer will not be answered by a third.
                        if (uncertain is not null) return new DispatchResult.Failed(last);
                        uncertain = [backend];
                    }

                    break;
            }

            candidates = [.. candidates.Where(b => b != backend)];
            if (candidates.Count == 0 || cancellation.IsCancellationRequested) return new DispatchResult.Failed(last!);
        }
    }

    /// <summary>Asks one backend something that is no generation: it takes no slot, waits for none, and no other backend is tried.</summary>
    public async ValueTask<DispatchResult> AskAsync(IDispatchable call, Backend backend, string served, CancellationToken cancellation)
    {
        if (!ProxyWays.Leads(backend, served, call.Info.Via, directory.Identity)) return new DispatchResult.Failed(ProxyWays.Loop(served, [backend], directory.Identity));
        using var attempt = Begin(call, new Lease(null, backend), served, TimeSpan.Zero, TimeSpan.Zero, hasAlternative: false, cancellation, out var unsayable);
        return (attempt is null ? new AttemptResult.Refused(unsayable!) : await attempt.ReadAsync(await attempt.SendAsync(call))) switch
        {
            AttemptResult.Answered answered => new DispatchResult.Answered(answered.Reply),
            AttemptResult.Refused refused => new DispatchResult.Failed(refused.Error),
            AttemptResult.TryNext next => new DispatchResult.Failed(next.Error),
            _ => throw new System.Diagnostics.UnreachableException(),
        };
    }

    /// <summary>Null when this backend cannot be asked this; another may speak a dialect that can.</summary>
    private BackendAttempt? Begin(IDispatchable call, Lease lease, string served, TimeSpan queued, TimeSpan elapsed, bool hasAlternative, CancellationToken cancellation, out ProxyError? unsayable)
    {
        BackendAttempt? attempt = null;
        OutgoingCall outgoing = default;
        try
        {
            unsayable = call.Prepare(lease.Backend, served, out outgoing);
            if (unsayable is null) attempt = new BackendAttempt(outgoing, lease, served, call.Info.TraceId, queued, elapsed, log, cancellation) { HasAlternative = hasAlternative };
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

    /// <summary>Leaves a host alone that said when to come again. Who waits for a slot may have it when that time has come.</summary>
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
        if (backend.IsProxy) return; // it was one of its hosts
        const string Reason = "it failed calls that another backend accepted";
        if (backend.State.MarkFailed(Reason, connection: false)) log.WentDown(backend.Name, Reason);
    }

    /// <summary>How long a call may wait for a slot: as long as for a first token.</summary>
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
        SlotRefusal.QueueFull => new(ProxyErrorKind.QueueFull, $"all slots for '{ModelName.Shown(model)}' are busy and the queue is full") { RetryAfter = TimeSpan.FromSeconds(2) },
        SlotRefusal.TimedOut => new(ProxyErrorKind.QueueFull, $"no slot for '{ModelName.Shown(model)}' became free in time") { RetryAfter = TimeSpan.FromSeconds(5) },
        SlotRefusal.Cancelled => new(ProxyErrorKind.ClientLeft, "the client left"),
        _ => new(ProxyErrorKind.NoBackend, $"no backend for '{ModelName.Shown(model)}' is up: {string.Join("; ", candidates.Select(b => $"'{b.Name}' is down ({b.State.Reason})"))}")
        {
            RetryAfter = TimeSpan.FromSeconds(1),
            Backend = candidates.Count == 1 ? candidates[0].Name : null,
        },
    };
}
