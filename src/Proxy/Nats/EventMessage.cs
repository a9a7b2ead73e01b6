using NATS.Client.Core;
using Proxy.Buffers;
using Proxy.Dialects.Events;

namespace Proxy.Nats;

/// <summary>Some events of one call, one JSON object on each line.</summary>
/// <param name="subject">The call's subject.</param>
/// <param name="id">By this a stream drops a message that arrives twice.</param>
/// <param name="lines">Disposed with the message.</param>
internal sealed class EventMessage(string subject, string id, PooledBody lines) : Outgoing
{
    public const string ContentType = "Content-Type";

    public const string MessageId = "Nats-Msg-Id";

    /// <summary>W3C's trace context of the call or of the job.</summary>
    public const string TraceParentName = "traceparent";

    /// <summary>The value of <see cref="TraceParentName"/>; null: the message has none.</summary>
    public string? TraceParent { get; init; }

    /// <summary>What the message holds besides its array.</summary>
    private const int Overhead = 512;

    public override long Size { get; } = lines.Capacity + Overhead;

    public override ValueTask SendAsync(INatsConnection connection)
    {
        var headers = new NatsHeaders(3) { [ContentType] = EventSchemaJson.ContentType, [MessageId] = id };
        if (TraceParent is not null) headers[TraceParentName] = TraceParent;
        return connection.PublishAsync(subject, lines.Memory, headers, serializer: NatsRawSerializer<ReadOnlyMemory<byte>>.Default);
    }

    public override void Dispose() => lines.Dispose();
}
