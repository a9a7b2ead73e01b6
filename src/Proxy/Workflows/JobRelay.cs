using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Json;
using Microsoft.Extensions.Logging;
using Proxy.Buffers;
using Proxy.Chat;

namespace Proxy.Workflows;

/// <summary>What a relay reports to besides its client. Null: there is none.</summary>
internal sealed record RelayParts(IWorkflowBus? Bus, IArtifactStore? Artifacts, WorkflowMetrics Metrics, ILogger Log, TimeProvider Time);

/// <summary>
/// Reads the events of one job, from what it writes itself or from the bus, and gives what the client is to see of them. Ends with the job's
/// <c>finished</c>, or with an error if the job fails, falls silent, or takes too long. Dispose it to stop a job that is not over. For one reader.
/// </summary>
internal sealed class JobRelay : IAsyncDisposable
{
    /// <summary>How long the last events may take to arrive after the job has ended well. After a failure none is needed.</summary>
    private static readonly TimeSpan LastWords = TimeSpan.FromSeconds(3), LastWordsOfFailure = TimeSpan.FromSeconds(1);

    private const int MostLinesLogged = 5;

    private const int MostOfLine = 200;

    private readonly CancellationTokenSource stop = new();
    private readonly Alarm alarm;
    private readonly Job job;
    private readonly RelayParts parts;
    private readonly IJobRun run;
    private readonly IEventFeed? feed;
    private readonly Branches branches;
    private readonly EventOrder order = new();
    private readonly JobLines lines = new();
    private readonly List<ChatEvent> shown = [];
    private readonly LineHandler read;
    private readonly long launched;
    private long heard;
    private long? gapSince;
    private long? endedAt;
    private int linesLogged;
    private bool isDry; // nothing more can come
    private bool isOver; // the job has ended, or said that it has
    private ProxyError? failure;

    /// <param name="job">The job.</param>
    /// <param name="run">Its run. Disposed here.</param>
    /// <param name="feed">Its events on the bus; null: it writes them itself. Disposed here.</param>
    /// <param name="tools">The tools that the client offers.</param>
    /// <param name="parts">What else is told.</param>
    public JobRelay(Job job, IJobRun run, IEventFeed? feed, IReadOnlyList<ToolDefinition> tools, RelayParts parts)
    {
        (this.job, this.run, this.feed, this.parts) = (job, run, feed, parts);
        branches = new Branches(job.Pipeline, tools);
        read = Read;
        launched = heard = parts.Time.GetTimestamp();
        alarm = new Alarm(parts.Time);
        run.Ended.ConfigureAwait(false).GetAwaiter().UnsafeOnCompleted(alarm.RingElsewhere);
    }

    /// <summary>What the client is to see. The last event is <see cref="ChatEvent.Finished"/>. Enumerate once.</summary>
    public async IAsyncEnumerable<ChatEvent> ReadAsync([EnumeratorCancellation] CancellationToken cancellation)
    {
        await using var leaving = cancellation.UnsafeRegister(static state => ((JobRelay)state!).Leave(), this);
        await using var source = (run.Output ?? feed!.ReadAsync(stop.Token)).GetAsyncEnumerator(stop.Token);
        var arriving = new PendingMove(alarm);
        try
        {
            while (true)
            {
                if (!isDry && !arriving.IsBegun) arriving.Begin(source.MoveNextAsync());
                if (!arriving.IsDone) await WaitAsync().ConfigureAwait(false);
                cancellation.ThrowIfCancellationRequested();
                if (arriving.IsDone) Take(arriving, source);

                Settle();
                await TakeOrderedAsync().ConfigureAwait(false);
                if (failure is not null && shown is not [.., ChatEvent.Finished]) shown.Add(new ChatEvent.Finished(FinishReason.Error, Error: failure));
                foreach (var happened in shown)
                {
                    if (happened is ChatEvent.Finished { Error: { } error }) Failed(error);
                    yield return happened;
                    if (happened is ChatEvent.Finished) yield break;
                }

                shown.Clear();
            }
        }
        finally
        {
            await stop.CancelAsync().ConfigureAwait(false);
            await arriving.SettleAsync().ConfigureAwait(false);
        }
    }

    /// <summary>Stops the job if it is not over, and gives back what it holds.</summary>
    public async ValueTask DisposeAsync()
    {
        await stop.CancelAsync().ConfigureAwait(false);
        if (!isOver)
        {
            try
            {
                if (parts.Bus is { } bus) await bus.CancelAsync(job.TraceId, failure?.Message ?? "the client left or cancelled").ConfigureAwait(false);
                await run.CancelAsync().ConfigureAwait(false);
            }
            catch (Exception problem) // whatever the launcher met: the answer is over, and the rest must be given back
            {
                parts.Log.NotCancelled(job.TraceId, job.Pipeline.Name, problem.Message);
            }
        }

        if (feed is not null) await feed.DisposeAsync().ConfigureAwait(false);
        await run.DisposeAsync().ConfigureAwait(false);
        lines.Dispose();
        alarm.Dispose();
        stop.Dispose();
        parts.Metrics.Ended();
    }

    private void Leave()
    {
        stop.Cancel();
        alarm.RingElsewhere();
    }

    private TimeSpan Grace => run.Ended is { IsCompletedSuccessfully: true, Result.Error: not null } ? LastWordsOfFailure : LastWords;

    private ProxyError Error(string message, ProxyErrorKind kind = ProxyErrorKind.HostFailed) => new(kind, $"pipeline '{job.Pipeline.Name}': {message}");

    private void Failed(ProxyError error)
    {
        failure ??= error;
        parts.Metrics.Failed();
        parts.Log.JobFailed(job.TraceId, job.Pipeline.Name, error.Message);
    }

    /// <summary>Waits until something arrives, the job ends, or a time is over. Sometimes shorter.</summary>
    private ValueTask WaitAsync()
    {
        var time = parts.Time;
        var wait = Least(job.Pipeline.Timeout - time.GetElapsedTime(launched), job.Pipeline.Idle - time.GetElapsedTime(heard));
        if (gapSince is { } gap) wait = Least(wait, EventOrder.Patience - time.GetElapsedTime(gap));
        if (endedAt is { } ended) wait = Least(wait, Grace - time.GetElapsedTime(ended));
        else if (run.Ended.IsCompleted) return default;
        return wait <= TimeSpan.Zero ? default : alarm.WaitAsync(wait);
    }

    private static TimeSpan Least(TimeSpan one, TimeSpan other) => one < other ? one : other;

    /// <summary>Reads what arrived.</summary>
    private void Take(PendingMove arrived, IAsyncEnumerator<ReadOnlyMemory<byte>> source)
    {
        try
        {
            if (arrived.Take())
            {
                heard = parts.Time.GetTimestamp();
                if (!lines.Take(source.Current.Span, isWhole: feed is not null, read))
                    failure ??= Error($"a line of its output is longer than {JobLines.Longest} bytes");
                return;
            }

            lines.End(read);
        }
        catch (FeedLostException lost)
        {
            failure ??= Error(lost.Message);
        }
        catch (IOException problem)
        {
            failure ??= Error($"its output cannot be read: {problem.Message}");
        }

        isDry = true;
    }

    /// <summary>Sees whether a time is over or the job has ended.</summary>
    private void Settle()
    {
        var time = parts.Time;
        gapSince = order.HasGap ? gapSince ?? time.GetTimestamp() : null;
        if (run.Ended.IsCompleted) endedAt ??= time.GetTimestamp();
        // What a job writes itself has been read when it has ended; what it published may still be on its way.
        var isEnd = endedAt is { } ended && (feed is null ? isDry : time.GetElapsedTime(ended) >= Grace);
        while (order.HasGap && (isEnd || (gapSince is { } gap && time.GetElapsedTime(gap) >= EventOrder.Patience)))
        {
            parts.Log.EventsMissing(job.TraceId, job.Pipeline.Name, order.GiveUp());
            gapSince = null;
        }

        if (isEnd)
        {
            if (run.Ended.Result.Error is { } error) failure ??= error;
            else order.AddLast(new JobEvent(null, null, new ChatEvent.Finished(FinishReason.Stop), null));
            isOver = true;
        }
        else if (time.GetElapsedTime(launched) >= job.Pipeline.Timeout)
        {
            failure ??= Error($"its job did not end within {job.Pipeline.Timeout:g}", ProxyErrorKind.HostTimedOut);
        }
        else if (time.GetElapsedTime(heard) >= job.Pipeline.Idle)
        {
            failure ??= Error($"its job has said nothing for {job.Pipeline.Idle:g}", ProxyErrorKind.HostTimedOut);
        }
    }

    /// <summary>Gives the events that are in order to what shows them. Artifacts are kept before what comes after them.</summary>
    private async ValueTask TakeOrderedAsync()
    {
        while (order.TryTake(out var happened))
        {
            if (happened!.Artifact is { } artifact)
            {
                await KeepAsync(artifact).ConfigureAwait(false);
                if (failure is not null) return;
                continue;
            }

            if (happened.Happened is null) continue;
            branches.Take(happened.Happened, happened.IsWholeCall, shown);
            if (shown is not [.., ChatEvent.Finished finished]) continue;
            isOver |= happened.Happened is ChatEvent.Finished; // else it is an error of ours
            failure ??= finished.Error;
            return;
        }
    }

    private async ValueTask KeepAsync(Artifact artifact)
    {
        if (parts.Artifacts is not { } store)
        {
            parts.Log.ArtifactNotKept(job.TraceId, job.Pipeline.Name, artifact.Key, "there is no [store]");
            return;
        }

        try
        {
            await store.PutAsync(artifact with { Owner = job.Owner }, stop.Token).ConfigureAwait(false);
            parts.Metrics.Kept();
        }
        catch (IOException problem)
        {
            parts.Log.ArtifactNotKept(job.TraceId, job.Pipeline.Name, artifact.Key, problem.Message);
            failure ??= Error($"its artifact '{artifact.Key}' could not be kept", ProxyErrorKind.StoreFailed);
        }
    }

    private void Read(ReadOnlySpan<byte> line)
    {
        if (failure is not null) return;
        try
        {
            var happened = JobEvent.Read(job.TraceId, line, out var isUnknown);
            if (isUnknown) parts.Metrics.Unknown();
            if (!order.Add(happened, out var isNewer)) parts.Metrics.Dropped();
            if (isNewer) Again();
        }
        catch (JsonException problem)
        {
            parts.Metrics.Unreadable();
            if (linesLogged++ >= MostLinesLogged) return;
            var text = Encoding.UTF8.GetString(line[..Math.Min(line.Length, MostOfLine)]);
            parts.Log.LineNotRead(job.TraceId, job.Pipeline.Name, text, problem.Message);
        }
    }

    /// <summary>Another attempt of the job speaks. It says something else than the one before it, of which the client may have a part.</summary>
    private void Again()
    {
        parts.Log.JobAgain(job.TraceId, job.Pipeline.Name, order.Attempt);
        if (branches.HasSpoken && (job.Pipeline.OnRetry is not "restart" || branches.HasCalled))
        {
            failure ??= Error($"its job began again, as attempt {order.Attempt}, after a part of the answer had been sent");
            order.Discard();
        }
        else if (branches.HasSpoken) shown.Add(new ChatEvent.Token("\n\n[the job began again]\n\n"));
        branches.Restart();
    }
}
