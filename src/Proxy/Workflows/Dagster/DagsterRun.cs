using System.Text.Json;
using Microsoft.Extensions.Logging;
using Proxy.Chat;
using Proxy.Config;
using Proxy.Dialects;

namespace Proxy.Workflows.Dagster;

/// <summary>A run of Dagster's, watched by its status until it is over.</summary>
internal sealed class DagsterRun : IJobRun
{
    /// <summary>The time between two looks at the status, until the run has begun and afterwards.</summary>
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(0.5), Later = TimeSpan.FromSeconds(1);

    /// <summary>How long a run that was told to end may take, before it is marked as cancelled without it.</summary>
    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(10);

    /// <summary>How long the end of a cancelled run is waited for.</summary>
    private static readonly TimeSpan LastWord = TimeSpan.FromSeconds(60);

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    /// <summary>Pages of a run's log that are read for the reason of its failure, of Dagster's 1,000 entries each.</summary>
    private const int MostPages = 20;

    private readonly TaskCompletionSource<JobEnd> ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly CancellationTokenSource leaving = new();
    private readonly DagsterServer server;
    private readonly PipelineConfig pipeline;
    private readonly string run;
    private readonly string traceId;
    private readonly ILogger log;
    private readonly TimeProvider time;
    private long cancelledAt; // 0: it is to go on
    private string? asked; // the policy by which the run was last told to end

    public DagsterRun(DagsterServer server, PipelineConfig pipeline, string run, string traceId, ILogger log, TimeProvider time)
    {
        (this.server, this.pipeline, this.run, this.traceId, this.log, this.time) = (server, pipeline, run, traceId, log, time);
        _ = WatchAsync();
    }

    public string? RunId => run;

    public IAsyncEnumerable<ReadOnlyMemory<byte>>? Output => null;

    public Task<JobEnd> Ended => ended.Task;

    private bool IsCancelling => Volatile.Read(ref cancelledAt) != 0;

    public async ValueTask CancelAsync()
    {
        if (!ended.Task.IsCompleted && BeginCancel()) await EndAsync().ConfigureAwait(false);
    }

    public ValueTask DisposeAsync()
    {
        if (!IsCancelling) leaving.Cancel(); // else the watch goes on until the run is over, and ends itself
        return default;
    }

    /// <summary>False: the run is being ended already.</summary>
    private bool BeginCancel() => Interlocked.CompareExchange(ref cancelledAt, time.GetTimestamp(), 0) == 0;

    private async Task WatchAsync()
    {
        var began = time.GetTimestamp();
        var hasBegun = false;
        try
        {
            while (true)
            {
                var status = await StatusAsync().ConfigureAwait(false);
                if (status is "SUCCESS" or "FAILURE" or "CANCELED" or "")
                {
                    ended.TrySetResult(await EndOfAsync(status).ConfigureAwait(false));
                    return;
                }

                hasBegun |= status is "STARTED" or "CANCELING";
                if (!hasBegun && status is not null && !IsCancelling && time.GetElapsedTime(began) > pipeline.LaunchTimeout)
                {
                    BeginCancel();
                    await EndAsync().ConfigureAwait(false);
                    ended.TrySetResult(new JobEnd(new ProxyError(ProxyErrorKind.HostTimedOut, Waited(status))));
                }

                if (IsCancelling)
                {
                    if (time.GetElapsedTime(Volatile.Read(ref cancelledAt)) > LastWord)
                    {
                        log.RunGoesOn(traceId, run, pipeline.Url!);
                        return;
                    }

                    await EndAsync().ConfigureAwait(false);
                }

                await Task.Delay(hasBegun ? Later : Soon, time, leaving.Token).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException)
        {
            // Nobody wants to know the end any more.
        }
    }

    /// <summary>The run's status; null if the server does not answer, which says nothing about the run; empty if it does not know the run.</summary>
    private async Task<string?> StatusAsync()
    {
        try
        {
            var answer = await AskAsync(DagsterSchema.Status, json => json.WriteString("run"u8, run)).ConfigureAwait(false);
            return DagsterServer.Text(answer, "__typename"u8) switch
            {
                "Run" => DagsterServer.Text(answer, "status"u8),
                "RunNotFoundError" or "PipelineRunNotFoundError" => "",
                _ => null,
            };
        }
        catch (LaunchException)
        {
            return null;
        }
    }

    private async Task<JobEnd> EndOfAsync(string status) => status switch
    {
        "SUCCESS" => JobEnd.Success,
        "CANCELED" => JobEnd.Failure($"Dagster's run {run} was cancelled"),
        "FAILURE" => JobEnd.Failure($"Dagster's run {run} failed: {await ReasonAsync().ConfigureAwait(false)}"),
        _ => JobEnd.Failure($"Dagster does not know the run {run} any more"),
    };

    private string Waited(string status) => status is "STARTING" or "MANAGED"
        ? $"Dagster's run {run} was handed to its run launcher, and did not begin within {Duration.Text(pipeline.LaunchTimeout)}; it was ended"
        : $"Dagster's run {run} is still {status} after {Duration.Text(pipeline.LaunchTimeout)} and was ended: is dagster-daemon running, "
            + "which starts queued runs, and is there room for another run?";

    /// <summary>
    /// Tells the run to end: first so that it can clean up, and after <see cref="Grace"/> by marking it as cancelled. Each is repeated until the server has
    /// answered.
    /// </summary>
    private async Task EndAsync()
    {
        var policy = time.GetElapsedTime(Volatile.Read(ref cancelledAt)) < Grace ? "SAFE_TERMINATE" : "MARK_AS_CANCELED_IMMEDIATELY";
        if (Interlocked.Exchange(ref asked, policy) == policy) return;
        try
        {
            await AskAsync(DagsterSchema.Terminate, json =>
            {
                json.WriteString("run"u8, run);
                json.WriteString("policy"u8, policy);
            }).ConfigureAwait(false);
        }
        catch (LaunchException)
        {
            asked = null; // said again at the next look
        }
    }

    /// <summary>What the first step that failed says, or else the run itself.</summary>
    private async Task<string> ReasonAsync()
    {
        string? last = null, after = null;
        try
        {
            for (var page = 0; page < MostPages; page++)
            {
                var answer = await AskAsync(DagsterSchema.Log, json =>
                {
                    json.WriteString("run"u8, run);
                    json.WriteOptional("after"u8, after);
                }).ConfigureAwait(false);
                foreach (var happened in DagsterServer.List(answer, "events"u8))
                {
                    if (DagsterServer.Text(happened, "__typename"u8) is "ExecutionStepFailureEvent")
                        return $"{DagsterServer.Text(happened, "stepKey"u8)}: {DagsterServer.Quote(Cause(DagsterServer.Part(happened, "error"u8)))}";
                    last = Cause(DagsterServer.Part(happened, "error"u8)) ?? DagsterServer.Text(happened, "message"u8) ?? last;
                }

                after = DagsterServer.Text(answer, "cursor"u8);
                if (DagsterServer.Part(answer, "hasMore"u8) is not { ValueKind: JsonValueKind.True } || after is null) break;
            }
        }
        catch (LaunchException)
        {
            // Then without a reason.
        }

        return DagsterServer.Quote(last ?? "its log gives no reason");
    }

    /// <summary>The error that an operation raised: the last of the causes. Dagster wraps it in errors of its own.</summary>
    private static string? Cause(JsonElement? error)
    {
        var message = DagsterServer.Text(error, "message"u8);
        foreach (var cause in DagsterServer.List(error, "causes"u8)) message = DagsterServer.Text(cause, "message"u8) ?? message;
        return message;
    }

    private Task<JsonElement> AskAsync(string query, Action<Utf8JsonWriter> variables) =>
        server.AskAsync(pipeline.Url!, DagsterServer.Question(query, variables), Patience, CancellationToken.None);
}
