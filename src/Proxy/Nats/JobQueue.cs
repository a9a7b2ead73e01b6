using System.Collections.Concurrent;
using System.Globalization;
using System.Text.Json;
using NATS.Client.Core;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Config;
using Proxy.Dialects;
using Proxy.Workflows;

namespace Proxy.Nats;

/// <summary>
/// Launches jobs by putting them into a queue of JetStream: a message under <c>job.chat.PIPELINE</c>. Workers pull from a consumer with the pipeline's name and
/// acknowledge a job when it is over. What is missing is created, nothing is changed.
/// </summary>
internal sealed class JobQueue : ILauncher
{
    /// <summary>A job whose worker says nothing for so long is given to another one.</summary>
    private static readonly TimeSpan AckWait = TimeSpan.FromSeconds(30);

    /// <summary>How often a job is given to a worker.</summary>
    private const int Deliveries = 3;

    /// <summary>Room for the subject and the headers.</summary>
    private const int Envelope = 1024;

    private const long MostBytes = 1L << 30;

    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);

    /// <summary>How long a job may take to get into the queue: as long as a server needs to start again.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    /// <summary>For each pipeline why it has no queue; empty: it has one.</summary>
    private readonly ConcurrentDictionary<string, string> known = [];
    private readonly ConcurrentDictionary<string, QueuedJob> running = []; // by the message's number in the stream
    private readonly NatsParts parts;
    private readonly Func<IReadOnlyList<PipelineConfig>> pipelines;
    private readonly JetStream jetStream;
    private readonly ObjectStore content;
    private volatile bool hasTtl;
    private INatsSub<byte[]>? advisories; // the client itself keeps no hold of a subscription
    private int isListening;

    public JobQueue(NatsParts parts, Func<IReadOnlyList<PipelineConfig>> pipelines)
    {
        (this.parts, this.pipelines) = (parts, pipelines);
        Stream = "PROXY_JOBS" + parts.Suffix;
        jetStream = new JetStream(parts.Link.Connection);
        content = new ObjectStore("PROXY_JOB_CONTENT" + parts.Suffix, jetStream, parts.Link.Connection);
    }

    public string Name => "jetstream";

    /// <summary>The stream's name.</summary>
    public string Stream { get; }

    public string? Absent(PipelineConfig pipeline) => !parts.Link.IsUp ? $"there is no connection to NATS at {parts.Link.Server}: {parts.Link.Reason}"
        : known.TryGetValue(pipeline.Name, out var reason) && reason.Length > 0 ? $"there is no queue for its jobs in JetStream: {reason}" : null;

    /// <summary>Makes the queues of all pipelines. Problems are logged; it goes on while there is one and a connection.</summary>
    public async Task EnsureAsync()
    {
        var losses = parts.Link.Losses;
        while (parts.Link.IsUp && parts.Link.Losses == losses)
        {
            var isDone = true;
            foreach (var pipeline in pipelines())
            {
                if (pipeline.Launcher == Name) isDone &= await HasQueueAsync(pipeline, CancellationToken.None).ConfigureAwait(false);
            }

            if (isDone) return;
            await Task.Delay(Pause, parts.Time).ConfigureAwait(false);
        }
    }

    public async ValueTask<IJobRun> LaunchAsync(Job job, CancellationToken cancellation)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        patience.CancelAfter(Patience);
        string? problem = null;
        try
        {
            while (true)
            {
                if (problem is not null || !known.ContainsKey(job.Pipeline.Name)) await HasQueueAsync(job.Pipeline, patience.Token).ConfigureAwait(false);
                if (Absent(job.Pipeline) is { } reason) throw new LaunchException(new ProxyError(ProxyErrorKind.NoBackend, reason));
                try
                {
                    return await PublishAsync(job, patience.Token).ConfigureAwait(false);
                }
                catch (JetStreamException refused) when (refused.Code != 0)
                {
                    throw new LaunchException(new ProxyError(ProxyErrorKind.NoBackend, $"JetStream does not take the job: {refused.Message}"));
                }
                catch (Exception away) when (away is JetStreamException or NatsException or IOException)
                {
                    problem = away.Message; // perhaps the server is starting again. By the job's id, it takes the job only once.
                }

                await Task.Delay(Pause / 4, parts.Time, patience.Token).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            throw new LaunchException(new ProxyError(ProxyErrorKind.NoBackend, $"NATS did not take the job: {problem ?? "it does not answer"}"));
        }
    }

    /// <summary>Whether a worker was given the message, or any after it; null: the server did not say.</summary>
    public async Task<bool?> IsTakenAsync(string pipeline, ulong sequence)
    {
        using var patience = new CancellationTokenSource(StoredMessages.Patience, parts.Time);
        try
        {
            return await jetStream.FindConsumerAsync(Stream, pipeline, patience.Token).ConfigureAwait(false) is { } consumer
                ? consumer.GetProperty("delivered"u8).GetProperty("stream_seq"u8).GetUInt64() >= sequence : null;
        }
        catch (Exception away) when (away is JetStreamException or NatsException or IOException or OperationCanceledException or JsonException)
        {
            return null;
        }
    }

    /// <summary>Takes a job out of the queue, so that no worker gets it any more.</summary>
    public async ValueTask DeleteAsync(ulong sequence)
    {
        if (!parts.Link.IsUp) return;
        using var patience = new CancellationTokenSource(StoredMessages.Patience, parts.Time);
        try
        {
            await jetStream.DeleteAsync(Stream, sequence, patience.Token).ConfigureAwait(false);
        }
        catch (Exception away) when (away is JetStreamException or NatsException or IOException or OperationCanceledException or JsonException)
        {
            // It is acknowledged already, or goes with its age.
        }
    }

    public void Forget(ulong sequence) => running.TryRemove(Key(sequence), out _);

    private static string Key(ulong sequence) => sequence.ToString(CultureInfo.InvariantCulture);

    /// <summary>Looks for the pipeline's queue and makes it if it is missing. False: it is not there yet.</summary>
    private async Task<bool> HasQueueAsync(PipelineConfig pipeline, CancellationToken cancellation)
    {
        var had = known.TryGetValue(pipeline.Name, out var before) ? before : null;
        try
        {
            var longest = pipeline.Timeout;
            foreach (var other in pipelines())
            {
                if (other.Launcher == Name && other.Timeout > longest) longest = other.Timeout;
            }

            var there = await jetStream.EnsureAsync(
                new(Stream, [$"{parts.Prefix}job.chat.*"], longest, MostBytes) { IsQueue = true }, cancellation).ConfigureAwait(false);
            hasTtl = there.HasTtl;
            if (there.IsNew) parts.Log.StreamCreated(Stream, $"{parts.Prefix}job.chat.*");
            else if (there.Differences is not null && had is null) parts.Log.StreamDiffers(Stream, there.Differences);

            var subject = $"{parts.Prefix}job.chat.{pipeline.Name}";
            if (await jetStream.FindConsumerAsync(Stream, pipeline.Name, cancellation).ConfigureAwait(false) is { } consumer)
            {
                if (!(consumer.GetProperty("config"u8).TryGetProperty("filter_subject"u8, out var filter) && filter.GetString() == subject))
                    throw new JetStreamException($"the consumer {pipeline.Name} of {Stream} is not for {subject}", 0);
            }
            else
            {
                await jetStream.CreateConsumerAsync(Stream, pipeline.Name, subject, AckWait, Deliveries, cancellation).ConfigureAwait(false);
            }

            known[pipeline.Name] = "";
            if (had != "") parts.Log.HasQueue(pipeline.Name, Stream);
            if (Interlocked.Exchange(ref isListening, 1) == 0) _ = ListenAsync();
            return true;
        }
        catch (Exception refused) when (refused is JetStreamException or JsonException)
        {
            if (had == "" && refused is JetStreamException { Code: 0 }) return false; // a server that has just started again
            known[pipeline.Name] = refused.Message;
            if (had != refused.Message) parts.Log.NoQueue(pipeline.Name, refused.Message);
            return false;
        }
        catch (Exception away) when (away is NatsException or IOException || StoredMessages.IsTimeout(away, cancellation))
        {
            return false;
        }
    }

    private async Task<QueuedJob> PublishAsync(Job job, CancellationToken cancellation)
    {
        var headers = new NatsHeaders(4) { [EventMessage.MessageId] = job.TraceId, [EventMessage.ContentType] = "application/json" };
        if (job.TraceParent is { } traceParent) headers[EventMessage.TraceParentName] = traceParent;
        if (hasTtl)
        {
            var seconds = Math.Max(1, (long)Math.Ceiling((job.Deadline - parts.Time.GetUtcNow()).TotalSeconds));
            headers["Nats-TTL"] = string.Create(CultureInfo.InvariantCulture, $"{seconds}s");
        }

        using var small = job.Document.Length > parts.Link.MaxPayload - Envelope ? await ByReferenceAsync(job, cancellation).ConfigureAwait(false) : null;
        var sequence = await jetStream.PublishAsync(
            $"{parts.Prefix}job.chat.{job.Pipeline.Name}", small?.Memory ?? job.Document, headers, cancellation).ConfigureAwait(false);
        var run = new QueuedJob(this, job, sequence, parts.Time);
        running[Key(sequence)] = run;
        return run;
    }

    /// <summary>Puts what makes the document large into the object store. Returns the document with a reference to it.</summary>
    private async Task<PooledBody> ByReferenceAsync(Job job, CancellationToken cancellation)
    {
        using var large = new PooledBody(job.Document.Length + Envelope);
        var small = new PooledBody(4096);
        try
        {
            Split(job.Document.Span, large, small);
            await jetStream.EnsureAsync(content.Plan(TimeSpan.FromDays(1), MostBytes), cancellation).ConfigureAwait(false);
            var stored = await content.PutAsync(job.TraceId, large.Memory, cancellation).ConfigureAwait(false);
            small.Truncate(small.Length - 1); // its brace
            small.Write(System.Text.Encoding.UTF8.GetBytes(
                $$$""","content":{"bucket":"{{{stored.Bucket}}}","name":"{{{stored.Name}}}","size":{{{stored.Size}}},"sha256":"{{{stored.Sha256}}}"}}"""));
        }
        catch (Exception refused) when (refused is JetStreamException { Code: not 0 } or JsonException)
        {
            small.Dispose();
            throw TooLarge(job, $"and the object store does not take them: {refused.Message}");
        }

        if (small.Length <= parts.Link.MaxPayload - Envelope) return small;
        small.Dispose();
        throw TooLarge(job, "even without its messages");
    }

    private LaunchException TooLarge(Job job, string why) => new(new ProxyError(
        ProxyErrorKind.BodyTooLarge, $"the job has {job.Document.Length} bytes, more than a message of NATS may have ({parts.Link.MaxPayload}), {why}"));

    /// <summary>Writes the members <c>messages</c> and <c>params</c> of a job to one object, and the others to another.</summary>
    private static void Split(ReadOnlySpan<byte> document, PooledBody large, PooledBody small)
    {
        var json = WireJson.Open(document);
        large.Write("{"u8);
        small.Write("{"u8);
        while (json.Read() && json.TokenType is JsonTokenType.PropertyName)
        {
            var begin = (int)json.TokenStartIndex;
            var body = json.ValueTextEquals("messages"u8) || json.ValueTextEquals("params"u8) ? large : small;
            json.Read();
            json.Skip();
            if (body.Length > 1) body.Write(","u8);
            body.Write(document[begin..(int)json.BytesConsumed]);
        }

        large.Write("}"u8);
        small.Write("}"u8);
    }

    /// <summary>Hears of jobs that were given to workers as often as they may be, and ends them.</summary>
    private async Task ListenAsync()
    {
        advisories = await parts.Link.SubscribeAsync(
            $"$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.{Stream}.*", StoredMessages.Capacity, CancellationToken.None).ConfigureAwait(false);
        while (await advisories.Msgs.WaitToReadAsync().ConfigureAwait(false))
        {
            if (!advisories.Msgs.TryRead(out var advisory) || advisory.Data is not { } data) continue;
            if (JsonElement.Parse(data).TryGetProperty("stream_seq"u8, out var number) && running.TryGetValue(number.GetRawText(), out var job))
                await job.GiveUpAsync(new(ProxyErrorKind.HostFailed, "each worker that took the job went away before its end")).ConfigureAwait(false);
        }
    }
}

/// <summary>A job in the queue, or with a worker.</summary>
internal sealed class QueuedJob : IJobRun
{
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);

    private readonly TaskCompletionSource<JobEnd> ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly CancellationTokenSource stop = new();
    private readonly JobQueue queue;
    private readonly Job job;
    private readonly ulong sequence;
    private readonly TimeProvider time;

    /// <param name="queue">Where it waits.</param>
    /// <param name="job">The job.</param>
    /// <param name="sequence">The message's number in the stream.</param>
    /// <param name="time">The clock.</param>
    public QueuedJob(JobQueue queue, Job job, ulong sequence, TimeProvider time)
    {
        (this.queue, this.job, this.sequence, this.time) = (queue, job, sequence, time);
        _ = WatchAsync(stop.Token);
    }

    public string? RunId => null;

    public IAsyncEnumerable<ReadOnlyMemory<byte>>? Output => null;

    public Task<JobEnd> Ended => ended.Task;

    /// <summary>Takes it out of the queue. A worker that has it is told by the bus.</summary>
    public ValueTask CancelAsync() => queue.DeleteAsync(sequence);

    /// <summary>Ends it with an error.</summary>
    public async ValueTask GiveUpAsync(ProxyError error)
    {
        await queue.DeleteAsync(sequence).ConfigureAwait(false);
        ended.TrySetResult(new JobEnd(error));
    }

    public ValueTask DisposeAsync()
    {
        queue.Forget(sequence);
        return new(stop.CancelAsync());
    }

    /// <summary>Ends it if no worker has taken it in time.</summary>
    private async Task WatchAsync(CancellationToken cancellation)
    {
        bool? isTaken = null;
        for (var wait = job.Pipeline.LaunchTimeout; isTaken is null; wait = Pause)
        {
            await Task.Delay(wait, time, cancellation).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (cancellation.IsCancellationRequested) return;
            isTaken = await queue.IsTakenAsync(job.Pipeline.Name, sequence).ConfigureAwait(false);
        }

        if (isTaken is false)
        {
            var reason = $"no worker took the job within {job.Pipeline.LaunchTimeout.TotalSeconds} s";
            await GiveUpAsync(new(ProxyErrorKind.HostTimedOut, reason)).ConfigureAwait(false);
        }
    }
}
