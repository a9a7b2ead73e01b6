using Microsoft.Extensions.Logging;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Config;
using Proxy.Dialects.OpenAiChat;

namespace Proxy.Workflows;

/// <summary>What the route is made of. What may be absent is null; the functions are asked for every call.</summary>
/// <param name="Config">The running configuration.</param>
/// <param name="Launchers">One for each word of <c>launcher</c>.</param>
/// <param name="Bus">What carries the events of jobs that run elsewhere.</param>
/// <param name="Artifacts">Where artifacts are kept.</param>
/// <param name="BaseUrl">The base of OpenAI's API at this proxy, for jobs.</param>
/// <param name="Metrics">Counts jobs.</param>
/// <param name="Log">Gets what happens to jobs.</param>
/// <param name="Time">The clock.</param>
internal sealed record WorkflowParts(
    Func<ProxyConfig> Config, IReadOnlyList<ILauncher> Launchers, Func<IWorkflowBus?> Bus, Func<IArtifactStore?> Artifacts, Func<string?> BaseUrl,
    WorkflowMetrics Metrics, ILogger Log, TimeProvider Time);

/// <summary>Answers calls for a pipeline: starts a job and relays its events as if a model were typing.</summary>
internal sealed class WorkflowRoute(WorkflowParts parts) : IChatRoute
{
    /// <summary>The time after the launch in which a failure of the job is still the answer's status.</summary>
    private static readonly TimeSpan HeadAfter = TimeSpan.FromSeconds(2);

    public string Name => "workflow";

    public bool Takes(in RoutedCall call) => call.Pipeline is not null && parts.Config().Pipelines.Count > 0;

    public async ValueTask<ChatAnswer> AnswerAsync(RoutedCall call, CancellationToken cancellation)
    {
        if (Find(call.Pipeline!) is not { } pipeline) return new ChatAnswer.Refused(Unknown(call));
        if (call.Call.IsLongToParse) await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
        if ((call.Call.TryGetRequest(out var request) ?? Unsayable(request!, pipeline)) is { } problem) return new ChatAnswer.Refused(problem);

        var launcher = Launcher(pipeline.Launcher);
        var absent = launcher is null ? "this proxy has no such launcher" : launcher.Absent(pipeline);
        var bus = parts.Bus();
        using var document = new PooledBody(1024);
        var deadline = parts.Time.GetUtcNow() + pipeline.Timeout;
        var info = call.Call.Info;
        var span = info.Span.Begin("job", SpanKind.Client);
        span.Set("proxy.pipeline", pipeline.Name);
        var traceParent = span.TraceParent ?? info.TraceParent;
        JobDocument.Write(call, request!, deadline, new(parts.BaseUrl(), bus), traceParent, document);
        var job = new Job(pipeline, info.TraceId, document.Span.ToArray(), deadline) { Owner = info.Owner, Span = span, TraceParent = traceParent };
        if (absent is not null) return Refused(job, new ProxyError(ProxyErrorKind.NoBackend, $"no job can be launched by '{pipeline.Launcher}': {absent}"));
        return await LaunchAsync(job, launcher!, bus, request!, cancellation).ConfigureAwait(false);
    }

    private async ValueTask<ChatAnswer> LaunchAsync(Job job, ILauncher launcher, IWorkflowBus? bus, ChatRequest request, CancellationToken cancellation)
    {
        IEventFeed? feed = null;
        IJobRun? run = null;
        try
        {
            // Before the launch, so that not even the job's first event is missed.
            if (launcher.UsesBus)
            {
                if (bus is null) throw new LaunchException("there is no [nats]");
                feed = await bus.FollowAsync(job.TraceId, cancellation).ConfigureAwait(false);
            }

            using var launch = job.Span.Begin("launch", SpanKind.Producer);
            run = await launcher.LaunchAsync(job, cancellation).ConfigureAwait(false);
        }
        catch (LaunchException refused)
        {
            return Refused(job, refused.Error);
        }
        finally
        {
            if (run is null) job.Span.Dispose();
            if (run is null && feed is not null) await feed.DisposeAsync().ConfigureAwait(false);
        }

        job.Span.Set("proxy.run_id", run.RunId);
        parts.Metrics.Launched();
        parts.Log.JobLaunched(job.TraceId, job.Pipeline.Name, run.RunId ?? job.TraceId);
        var relay = new JobRelay(job, run, feed, request.Tools, new(feed is null ? null : bus, parts.Artifacts(), parts.Metrics, parts.Log, parts.Time));
        return await BeginAsync(relay, run.RunId ?? job.TraceId, feed is not null, cancellation).ConfigureAwait(false);
    }

    /// <summary>Waits for the first event, but not for long. A job that fails before is an error with a status of its own.</summary>
    private async ValueTask<ChatAnswer> BeginAsync(JobRelay relay, string runId, bool isPublished, CancellationToken cancellation)
    {
        var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var events = relay.ReadAsync(stop.Token).GetAsyncEnumerator(CancellationToken.None);
        var first = events.MoveNextAsync().AsTask();
        var begun = new BegunJob(relay, events, first, stop);
        try
        {
            await first.WaitAsync(HeadAfter, parts.Time, cancellation).ConfigureAwait(false);
            if (events.Current is ChatEvent.Finished { Error: { } error })
            {
                await begun.DisposeAsync().ConfigureAwait(false);
                return new ChatAnswer.Refused(error);
            }
        }
        catch (TimeoutException)
        {
            // It works without having said anything yet: the client gets its stream.
        }
        catch
        {
            await begun.DisposeAsync().ConfigureAwait(false);
            throw;
        }

        return new ChatAnswer.Events(begun, Backend: null, Served: null) { RunId = runId, IsPublished = isPublished };
    }

    private PipelineConfig? Find(string name)
    {
        foreach (var pipeline in parts.Config().Pipelines)
        {
            if (pipeline.Name == name) return pipeline;
        }

        return null;
    }

    private ILauncher? Launcher(string name)
    {
        foreach (var launcher in parts.Launchers)
        {
            if (launcher.Name == name) return launcher;
        }

        return null;
    }

    private ChatAnswer.Refused Refused(Job job, ProxyError error)
    {
        parts.Metrics.Failed();
        job.Span.Fail(ProxyErrorTable.Of(error).Code);
        job.Span.Dispose();
        parts.Log.JobNotLaunched(job.TraceId, job.Pipeline.Name, error.Message);
        return new(error with { Message = $"pipeline '{job.Pipeline.Name}': {error.Message}" });
    }

    /// <summary>The error for a request that a job cannot be given, or whose answer could not be said.</summary>
    private static ProxyError? Unsayable(ChatRequest request, PipelineConfig pipeline) => request.Choices is > 1
        ? new(ProxyErrorKind.InvalidRequest, $"pipeline '{pipeline.Name}' gives one answer (present = \"{pipeline.Present}\"); leave n out or send 1")
        {
            Param = "n",
        }
        : OpenAiChatRequestCodec.Unsayable(request);

    private static ProxyError Unknown(in RoutedCall call) =>
        new(ProxyErrorKind.UnknownPipeline, $"there is no pipeline '{ModelName.Shown(call.Pipeline!)}'; the models listing says which there are")
        {
            Param = call.Call.Info.Pipeline is null ? "model" : "x-pipeline",
        };

    /// <summary>
    /// The events of a job that has begun. The role comes at once, so that a client sees that its call was taken. Disposing it ends the job, if it is not over,
    /// also where nothing was read.
    /// </summary>
    private sealed class BegunJob(JobRelay relay, IAsyncEnumerator<ChatEvent> events, Task<bool> first, CancellationTokenSource stop)
        : IAsyncEnumerable<ChatEvent>, IAsyncEnumerator<ChatEvent>
    {
        private CancellationTokenRegistration leaving;
        private int step;

        public ChatEvent Current { get; private set; } = new ChatEvent.RoleGiven(ChatRole.Assistant);

        public IAsyncEnumerator<ChatEvent> GetAsyncEnumerator(CancellationToken cancellation = default)
        {
            leaving = cancellation.UnsafeRegister(static state => ((CancellationTokenSource)state!).Cancel(), stop);
            return this;
        }

        public async ValueTask<bool> MoveNextAsync()
        {
            if (step++ == 0) return true;
            var more = step == 2 ? await first.ConfigureAwait(false) : await events.MoveNextAsync().ConfigureAwait(false);
            if (more) Current = events.Current;
            return more;
        }

        public async ValueTask DisposeAsync()
        {
            await leaving.DisposeAsync().ConfigureAwait(false);
            await stop.CancelAsync().ConfigureAwait(false);
            await ((Task)first).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing); // an enumerator must not be disposed while its next element is awaited
            await events.DisposeAsync().ConfigureAwait(false);
            await relay.DisposeAsync().ConfigureAwait(false);
            stop.Dispose();
        }
    }
}
