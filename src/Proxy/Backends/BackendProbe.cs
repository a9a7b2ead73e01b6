using Microsoft.Extensions.Logging;
using Proxy.Chat;

namespace Proxy.Backends;

/// <summary>
/// Probes every host repeatedly, whether it answers and what it serves: every ten seconds while it is up, every second while it is down or its breaker is not
/// closed.
/// </summary>
internal sealed class BackendProbe(
    BackendDirectory directory, SlotQueue slots, Func<Backend, CancellationToken, Task<HostReport>> ask, ILogger log, TimeProvider time)
{
    /// <summary>Time between two probes of a host that is up.</summary>
    private static readonly TimeSpan Whole = TimeSpan.FromSeconds(10);

    /// <summary>Time between two probes of a host that is not.</summary>
    private static readonly TimeSpan Broken = TimeSpan.FromSeconds(1);

    /// <summary>A host that runs calls goes down after this many unanswered probes in a row, if its calls brought no byte in that time.</summary>
    private const int Silences = 3;

    private readonly Dictionary<BackendState, Task> running = [];
    private readonly Lock gate = new();
    private int firstRound;

    /// <summary>Completes when every host was probed once, or after two seconds. A listing before that would be incomplete.</summary>
    public Task FirstRound { get; private set; } = Task.CompletedTask;

    /// <summary>Runs until cancelled; follows the table through reloads.</summary>
    public async Task RunAsync(CancellationToken cancellation)
    {
        var first = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        FirstRound = first.Task.WaitAsync(TimeSpan.FromSeconds(2), time, CancellationToken.None);
        firstRound = directory.Table.All.Count(static b => !b.IsEcho);
        if (firstRound == 0) first.SetResult();
        while (!cancellation.IsCancellationRequested)
        {
            var table = directory.Table;
            lock (gate)
            {
                foreach (var backend in table.All)
                {
                    if (backend.IsEcho || (running.TryGetValue(backend.State, out var task) && !task.IsCompleted)) continue;
                    running[backend.State] = WatchAsync(backend, first, cancellation);
                }
            }

            await Task.Delay(Broken, time, cancellation).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    /// <summary>Watches one backend for as long as the table has it.</summary>
    private async Task WatchAsync(Backend backend, TaskCompletionSource first, CancellationToken cancellation)
    {
        var asked = false;
        while (!cancellation.IsCancellationRequested && directory.Table.All.Contains(backend))
        {
            await AskAsync(backend, cancellation);
            if (!asked && Interlocked.Decrement(ref firstRound) == 0) first.TrySetResult();
            asked = true;
            var until = time.GetTimestamp() + (long)(Whole.TotalSeconds * time.TimestampFrequency);
            do
            {
                await Task.Delay(Broken, time, cancellation).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
            while (!cancellation.IsCancellationRequested && backend.State is { Available: true, Breaker: BreakerState.Closed } && time.GetTimestamp() < until);
        }
    }

    /// <summary>Probes one host now; afterwards the table contains what it reported.</summary>
    public async Task AskAsync(Backend backend, CancellationToken cancellation)
    {
        try
        {
            var report = await ask(backend, cancellation);
            // Names that are too long for a client to ask for are left out.
            if (!report.Models.All(static model => ModelName.Fits(model.Name)))
            {
                report = report with { Models = [.. report.Models.Where(static model => ModelName.Fits(model.Name))] };
            }

            var changed = backend.State.Report is not { } before || !before.Models.Select(m => m.Name).SequenceEqual(report.Models.Select(m => m.Name))
                || !before.Dialects.SequenceEqual(report.Dialects) || before.ProxyId != report.ProxyId;
            backend.State.Report = report;
            if (changed) directory.Refresh();
            Answered(backend);
            if (report.IsSelf)
            {
                GoDown(backend, "is this proxy itself; its url has to be that of a model host", isAway: false);
                return;
            }

            var news = backend.State.MarkUp();
            if (!news && backend.State.Breaker is BreakerState.HalfOpen) slots.Recheck();
            if (news)
            {
                log.CameUp(backend.Name, report.Models.Count);
                slots.Level(directory.Table.All);
                slots.Recheck();
            }
        }
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
        {
            // The process is stopping.
        }
        catch (Exception problem) when (problem is HttpRequestException or OperationCanceledException or IOException or TimeoutException or HostProbeException)
        {
            if (problem is HostProbeException { IsOurs: true }) return;
            if (problem is not HostProbeException { Answered: true })
            {
                Unanswered(backend, problem);
                return;
            }

            Answered(backend);
            GoDown(backend, problem.Message, isAway: false);
        }
    }

    /// <summary>Its host answers. If it was away, this ends the calls from before that have brought nothing since; the host no longer runs them.</summary>
    private static void Answered(Backend backend)
    {
        if (backend.State.IsAway) backend.Upstream.EndSuspects();
        backend.State.MarkAnswered(backend.Upstream.Heard);
    }

    private void Unanswered(Backend backend, Exception problem)
    {
        var silences = backend.State.MarkSilent(backend.Upstream.Heard);
        if (silences <= 1) backend.Upstream.Suspect();
        var reason = problem.Message;
        if (problem is OperationCanceledException or TimeoutException or HostProbeException { TimedOut: true } && backend.State.InFlight > 0)
        {
            // A busy host may be too slow for a probe although it serves calls well, so while calls run, it goes down only if they are silent too.
            if (silences < Silences) return;
            reason = $"{reason}, {Silences} times in a row, and its calls received no bytes meanwhile";
        }

        GoDown(backend, reason, isAway: true);
    }

    private void GoDown(Backend backend, string reason, bool isAway)
    {
        if (!backend.State.MarkDown(reason, isAway)) return;
        log.WentDown(backend.Name, reason);
        slots.Recheck();
    }
}
