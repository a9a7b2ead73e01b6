using Proxy.Chat;
using Proxy.Config;

namespace Proxy.Workflows;

/// <summary>One run of a pipeline, made for one chat call.</summary>
/// <param name="Pipeline">What runs.</param>
/// <param name="TraceId">The call's id, by which the job's events are found.</param>
/// <param name="Document">What the job is to do, as JSON: the schema is in <c>docs/events.md</c>. It has no credential.</param>
/// <param name="Deadline">When the job must have ended.</param>
internal sealed record Job(PipelineConfig Pipeline, string TraceId, ReadOnlyMemory<byte> Document, DateTimeOffset Deadline)
{
    /// <summary>Whose call it is.</summary>
    public string Owner { get; init; } = "";

    /// <summary>Its span, from before the launch to its end.</summary>
    public CallSpan Span { get; init; } = CallSpan.None;

    /// <summary>W3C's trace context for whoever runs it, as in the document.</summary>
    public string? TraceParent { get; init; }
}

/// <summary>Starts jobs in one way. An implementation is thread-safe.</summary>
internal interface ILauncher
{
    /// <summary>The word for it in the configuration.</summary>
    string Name { get; }

    /// <summary>The events of its jobs come over the bus; false: the jobs write them (<see cref="IJobRun.Output"/>).</summary>
    bool UsesBus => true;

    /// <summary>Why no job of the pipeline can be launched now; null: one can.</summary>
    string? Absent(PipelineConfig pipeline);

    /// <summary>
    /// Starts the job and returns as soon as it has been accepted. The caller hears its events already.
    /// </summary>
    /// <exception cref="LaunchException">It was not started.</exception>
    ValueTask<IJobRun> LaunchAsync(Job job, CancellationToken cancellation);
}

/// <summary>A job that was started. Disposing it gives back what it holds; it does not end the job.</summary>
internal interface IJobRun : IAsyncDisposable
{
    /// <summary>The launcher's own id of the run, for the client; null: it has none.</summary>
    string? RunId { get; }

    /// <summary>What the job writes, in pieces of any length; null: its events come over the bus.</summary>
    IAsyncEnumerable<ReadOnlyMemory<byte>>? Output { get; }

    /// <summary>
    /// Completes when the job is over, and all its <see cref="Output"/> was read. Never fails; never completes where the launcher cannot know.
    /// </summary>
    Task<JobEnd> Ended { get; }

    /// <summary>Ends the job, and returns when it is gone or its end was asked for. Does nothing if it is over.</summary>
    ValueTask CancelAsync();
}

/// <summary>How a job ended.</summary>
/// <param name="Error">Why it failed, with what it said last; null: it succeeded.</param>
internal sealed record JobEnd(ProxyError? Error)
{
    public static readonly JobEnd Success = new((ProxyError?)null);

    public static JobEnd Failure(string message) => new(new ProxyError(ProxyErrorKind.HostFailed, message));
}

/// <summary>A job could not be started.</summary>
internal sealed class LaunchException(ProxyError error) : Exception(error.Message)
{
    public LaunchException(string message) : this(new ProxyError(ProxyErrorKind.HostFailed, message)) { }

    public ProxyError Error => error;
}
