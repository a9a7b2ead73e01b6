using NATS.Client.Core;
using Proxy.Chat;
using Proxy.Dialects;
using Proxy.Buffers;
using Proxy.Workflows;

namespace Proxy.Nats;

/// <summary>
/// Events of jobs by <c>evt.chat.TRACE_ID</c>, commands to them by <c>ctl.chat.TRACE_ID</c>. If JetStream keeps the events, they are followed at
/// <c>live.evt.chat.TRACE_ID</c>, to which the stream publishes what it has stored.
/// </summary>
internal sealed class WorkflowBus(NatsParts parts) : IWorkflowBus
{
    /// <summary>Messages that may wait where nothing keeps them. A job that is more ahead of its client than this loses its events.</summary>
    private const int Capacity = 1 << 16;

    public string Url => parts.Link.Server;

    public string? Absent => parts.Link.IsUp ? null : $"there is no connection to NATS at {Url}: {parts.Link.Reason}";

    public string EventSubject(string traceId) => parts.EventSubject(traceId);

    public string ControlSubject(string traceId) => $"{parts.Prefix}ctl.chat.{traceId}";

    public async ValueTask<IEventFeed> FollowAsync(string traceId, CancellationToken cancellation)
    {
        if (Absent is { } reason) throw Unusable(reason);
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        patience.CancelAfter(StoredMessages.Patience);
        INatsSub<byte[]>? live = null;
        try
        {
            await parts.Streams.Looked.WaitAsync(patience.Token).ConfigureAwait(false);
            var (subject, stream, losses) = (EventSubject(traceId), parts.Streams.Republished, parts.Link.Losses);
            live = stream is null ? await parts.Link.SubscribeAsync(subject, Capacity, patience.Token).ConfigureAwait(false)
                : await parts.Link.SubscribeAsync($"{parts.Prefix}live.evt.chat.{traceId}", StoredMessages.Capacity, patience.Token).ConfigureAwait(false);
            await parts.Link.Connection.PingAsync(patience.Token).ConfigureAwait(false); // the server has the subscription when it answers
            return stream is null ? new DirectFeed(parts.Link, live, losses, Capacity) : new StoredFeed(parts, live, subject, stream);
        }
        catch (Exception problem) when (problem is NatsException or IOException or OperationCanceledException)
        {
            if (live is not null) await live.DisposeAsync().ConfigureAwait(false);
            cancellation.ThrowIfCancellationRequested();
            throw Unusable($"NATS at {Url} does not answer");
        }
    }

    public async ValueTask CancelAsync(string traceId, string reason)
    {
        if (!parts.Link.IsUp) return;
        using var body = new PooledBody(256);
        using (var json = WireJson.NewWriter(body))
        {
            json.WriteStartObject();
            json.WriteString("type"u8, "cancel"u8);
            json.WriteString("trace_id"u8, traceId);
            json.WriteString("reason"u8, reason);
            json.WriteEndObject();
        }

        using var patience = new CancellationTokenSource(StoredMessages.Patience, parts.Time);
        try
        {
            await parts.Link.Connection.PublishAsync(
                ControlSubject(traceId), body.Memory, serializer: NatsRawSerializer<ReadOnlyMemory<byte>>.Default, cancellationToken: patience.Token)
                .ConfigureAwait(false);
        }
        catch (Exception away) when (away is NatsException or IOException or OperationCanceledException)
        {
            // The job runs on until its deadline.
        }
    }

    private static LaunchException Unusable(string reason) => new(new ProxyError(ProxyErrorKind.NoBackend, reason));
}
