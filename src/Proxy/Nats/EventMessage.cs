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

    /// <summary>The memory of the objects of a message beside its bytes.</summary>
    private const int Overhead = 256;

    public override long Size { get; } = lines.Capacity + Overhead;

    public override ValueTask SendAsync(INatsConnection connection) => connection.PublishAsync(
        subject, lines.Memory, new NatsHeaders(2) { [ContentType] = EventSchemaJson.ContentType, [MessageId] = id },
        serializer: NatsRawSerializer<ReadOnlyMemory<byte>>.Default);

    public override void Dispose() => lines.Dispose();
}
