using Microsoft.Extensions.Logging;
using Tmds.DBus.Protocol;

namespace Proxy.Workflows.Systemd;

/// <summary>A job that is a unit. It is followed to its end even after it was disposed, because its file goes only when the unit is gone.</summary>
internal sealed class UnitRun(string unit, string traceId, JobFiles files, SystemdBus bus, ILogger log, TimeProvider time) : IJobRun
{
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);

    /// <summary>What a process wrote last is in the journal a moment after its end.</summary>
    private static readonly TimeSpan Writing = TimeSpan.FromMilliseconds(200);

    private readonly UnitState state = new();
    private readonly TaskCompletionSource over = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource<JobEnd> ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private string path = "";
    private string? start; // how systemd's start ended: "done" …

    public string RunId => unit;

    public IAsyncEnumerable<ReadOnlyMemory<byte>>? Output => null;

    public Task<JobEnd> Ended => ended.Task;

    /// <summary>Starts the unit with a document as its standard input. Returns when systemd has accepted it.</summary>
    /// <exception cref="LaunchException">The unit cannot run jobs.</exception>
    public async Task StartAsync(ReadOnlyMemory<byte> document)
    {
        IDisposable[] watches = [];
        try
        {
            files.Write(traceId, document.Span);
            var link = await bus.LinkAsync().ConfigureAwait(false);
            path = await link.PathAsync(unit).ConfigureAwait(false);
            await link.ReadAsync(path, state).ConfigureAwait(false);
            if (state.Unfit(unit) is { } reason) throw new LaunchException(reason);
            // Before the start: of a short job, the end may come with the answer.
            watches = await link.WatchAsync(unit, path, state, Judge, StartEnded).ConfigureAwait(false);
            await link.StartAsync(unit).ConfigureAwait(false);
            _ = FollowAsync(link, watches);
        }
        catch
        {
            Drop(watches);
            files.Delete(traceId);
            throw;
        }
    }

    /// <summary>Ends a unit whose start was asked for, and that nobody waits for any more.</summary>
    public async Task AbandonAsync(Task starting)
    {
        await starting.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (starting.IsCompletedSuccessfully) await CancelAsync().ConfigureAwait(false);
    }

    public async ValueTask CancelAsync()
    {
        if (over.Task.IsCompleted) return;
        try
        {
            await (await bus.LinkAsync().ConfigureAwait(false)).StopAsync(unit).ConfigureAwait(false);
        }
        catch (Exception problem) when (problem is DBusExceptionBase or ObjectDisposedException)
        {
            log.NotStopped(unit, problem.Message);
        }
    }

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    /// <summary>Waits for the end; after the loss of a connection, over the next one.</summary>
    private async Task FollowAsync(SystemdLink link, IDisposable[] watches)
    {
        while (await Task.WhenAny(over.Task, link.Closed).ConfigureAwait(false) != over.Task)
        {
            Drop(watches);
            watches = [];
            await Task.Delay(Pause, time).ConfigureAwait(false);
            try
            {
                link = await bus.LinkAsync().ConfigureAwait(false);
                watches = await link.WatchAsync(unit, path, state, Judge, StartEnded).ConfigureAwait(false);
                await link.ReadAsync(path, state).ConfigureAwait(false);
                if (!state.HasJob) StartEnded("done");
            }
            catch (ObjectDisposedException)
            {
                return; // the proxy ends
            }
            catch (DBusExceptionBase problem)
            {
                log.SystemdAway(unit, problem.Message);
            }
        }

        Drop(watches);
        files.Delete(traceId);
        ended.SetResult(JobEnd.Failure(await ReasonAsync().ConfigureAwait(false)));
    }

    /// <summary>Why the job has failed. A job that has published its end has not: whoever heard that does not ask.</summary>
    private async Task<string> ReasonAsync()
    {
        if (state.Result is "success")
            return start is "done" ? $"the unit {unit} ended without the event \"finished\"" : $"systemd ended the start of the unit {unit} as \"{start}\"";
        await Task.Delay(Writing, time).ConfigureAwait(false);
        var status = state switch
        {
            { Status: 0 } => "",
            { WasKilled: true } => $", signal {state.Status}",
            { Status: >= 200 and < 250 } => $", status {state.Status}, with which systemd says that it could not prepare the program (man systemd.exec)",
            _ => $", status {state.Status}",
        };
        return $"the unit {unit} failed: {state.Result}{status}{(UnitJournal.LastLine(unit) is { } line ? $"; its last line: {line}" : "")}";
    }

    private void StartEnded(string result)
    {
        start ??= result;
        Judge();
    }

    /// <summary>The job is over when the start is, unless the unit runs on, as one that is not a oneshot does.</summary>
    private void Judge()
    {
        if (start is not null && (state.IsOver || start is "timeout")) over.TrySetResult();
    }

    private static void Drop(IDisposable[] watches)
    {
        foreach (var watch in watches) watch.Dispose();
    }
}
