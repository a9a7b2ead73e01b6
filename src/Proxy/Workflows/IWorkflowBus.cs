namespace Proxy.Workflows;

/// <summary>What carries events and commands between the proxy and the workers of other processes. Thread-safe.</summary>
internal interface IWorkflowBus
{
    /// <summary>The servers, without credentials, as workers reach them too.</summary>
    string Url { get; }

    /// <summary>Why it cannot be used now; null: it can.</summary>
    string? Absent { get; }

    /// <summary>The subject of a job's events.</summary>
    string EventSubject(string traceId);

    /// <summary>The subject of commands to a job.</summary>
    string ControlSubject(string traceId);

    /// <summary>Follows a job's events from now on. Returns when the server knows it, so that no event of a job that is launched then is missed.</summary>
    /// <exception cref="LaunchException">The bus cannot be used.</exception>
    ValueTask<IEventFeed> FollowAsync(string traceId, CancellationToken cancellation);

    /// <summary>Tells the job's workers to stop. Does nothing where there is no connection.</summary>
    ValueTask CancelAsync(string traceId, string reason);
}

/// <summary>The events of one job, as they were published. For one reader.</summary>
internal interface IEventFeed : IAsyncDisposable
{
    /// <summary>
    /// Messages in the order in which they were published, each once as far as the bus can tell: one JSON object, or several on lines of their own.
    /// </summary>
    /// <exception cref="FeedLostException">Events may have been missed and cannot be read again.</exception>
    IAsyncEnumerable<ReadOnlyMemory<byte>> ReadAsync(CancellationToken cancellation);
}

/// <summary>Events may have been missed. The message says why.</summary>
internal sealed class FeedLostException(string message) : Exception(message);

/// <summary>Where what jobs produce is kept. Thread-safe.</summary>
internal interface IArtifactStore
{
    /// <summary>Puts an artifact in the place of the one of the same trace and key. Returns when it is durable.</summary>
    /// <exception cref="IOException">It could not be kept.</exception>
    ValueTask PutAsync(Artifact artifact, CancellationToken cancellation);
}

/// <summary>Something that a job produced besides its answer: where it is, or itself.</summary>
/// <param name="TraceId">The call's id.</param>
/// <param name="Key">Its name within the trace.</param>
/// <param name="MediaType">Its media type, if the job said it.</param>
/// <param name="Uri">Where it is; null: it is <paramref name="Value"/>.</param>
/// <param name="Value">The artifact itself, as JSON; null: it is at <paramref name="Uri"/>.</param>
internal sealed record Artifact(string TraceId, string Key, string? MediaType, string? Uri, string? Value)
{
    /// <summary>Whose call it is.</summary>
    public string Owner { get; init; } = "";
}
