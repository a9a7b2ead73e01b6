using Microsoft.Extensions.Logging;
using Proxy.Chat;

namespace Proxy.Backends;

/// <summary>
/// Asks every host, again and again, whether it is there and what it serves: every ten seconds while it is up, every second while it is not, or is being tried out.
/// </summary>
internal sealed class BackendProbe(BackendDirectory directory, SlotQueue slots, Func<Backend, CancellationToken, Task<HostReport>> ask, ILogger log, TimeProvider time)
{
    private static readonly TimeSpan Whole = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan Broken = TimeSpan.FromSeconds(1);
    private readonly Dictionary<BackendState, Task> running = [];
    private readonly Lock gate = new();
    private int firstRound;

    /// <summary>Completes when every host was asked once, or two seconds have passed: a listing before that would be a guess.</summary>
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

    /// <summary>Asks one host now; what it says is in the table afterwards.</summary>
    public async Task AskAsync(Backend backend, CancellationToken cancellation)
    {
        try
        {
            var report = await ask(backend, cancellation);
            // A name that no client can ask for is not learned.
            if (!report.Models.All(static model => ModelName.Fits(model.Name))) report = report with { Models = [.. report.Models.Where(static model => ModelName.Fits(model.Name))] };
            var changed = backend.State.Report is not { } before || !before.Models.Select(m => m.Name).SequenceEqual(report.Models.Select(m => m.Name)) || !before.Dialects.SequenceEqual(report.Dialects) || before.ProxyId != report.ProxyId;
            backend.State.Report = report;
            if (changed) directory.Refresh();
            if (report.IsSelf)
            {
                Lost(backend, "is this proxy itself; its url has to be that of a model host");
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
            // The process stops.
        }
        catch (Exception problem) when (problem is HttpRequestException or OperationCanceledException or IOException or TimeoutException or HostProbeException)
        {
            // A busy host may be too slow for a probe while it serves calls well: only one that runs nothing is given up for that.
            if (problem is OperationCanceledException or TimeoutException or HostProbeException { TimedOut: true } && backend.State.InFlight > 0) return;
            Lost(backend, problem.Message);
        }
    }

    private void Lost(Backend backend, string reason)
    {
        if (!backend.State.MarkDown(reason)) return;
        log.WentDown(backend.Name, reason);
        slots.Recheck();
    }
}
