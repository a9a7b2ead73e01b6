using System.Text.Json;
using NATS.Client.Core;
using Proxy.Buffers;
using Proxy.Dialects;

namespace Proxy.Nats;

/// <summary>
/// The message of a finished call: a JSON object. With <c>record = "full"</c> it has the conversation, or says where in the object store that is. What fits in
/// neither is cut.
/// </summary>
internal sealed class DoneMessage(NatsParts parts, CallSummary summary, Conversation? conversation) : Outgoing
{
    private const string Json = "application/json";

    /// <summary>Room for the headers, and for the reference to an object.</summary>
    private const int Reserve = 2048;

    private static readonly TimeSpan StorePatience = TimeSpan.FromSeconds(10);

    /// <summary>The call's <c>traceparent</c>; null: the message has none.</summary>
    public string? TraceParent { get; init; }

    public override long Size { get; } = 2048 + (conversation?.Size ?? 0);

    public override async ValueTask SendAsync(INatsConnection connection)
    {
        using var body = new PooledBody(1024);
        using var json = WireJson.NewWriter(body);
        json.WriteStartObject();
        summary.Write(json);
        if (conversation is not null) await WriteConversationAsync(json, conversation).ConfigureAwait(false);
        json.WriteEndObject();
        json.Flush();
        var headers = new NatsHeaders(3) { [EventMessage.ContentType] = Json, [EventMessage.MessageId] = summary.TraceId };
        if (TraceParent is not null) headers[EventMessage.TraceParentName] = TraceParent;
        await connection.PublishAsync(
            parts.DoneSubject(summary.TraceId), body.Memory, headers, serializer: NatsRawSerializer<ReadOnlyMemory<byte>>.Default).ConfigureAwait(false);
    }

    public override void Dispose() { }

    private async ValueTask WriteConversationAsync(Utf8JsonWriter json, Conversation texts)
    {
        var messages = texts.ReadMessages();
        var isCut = messages is null || texts.Answer.IsCut;
        var room = parts.Link.MaxPayload - Reserve - (int)(json.BytesCommitted + json.BytesPending);
        using var whole = new PooledBody((int)texts.Size + Reserve);
        using (var content = WireJson.NewWriter(whole))
        {
            content.WriteStartObject();
            texts.Write(content, messages);
            content.WriteEndObject();
        }

        if (whole.Length <= room)
        {
            texts.Write(json, messages);
        }
        else if (await StoreAsync(whole.Memory).ConfigureAwait(false) is { } stored)
        {
            json.WriteStartObject("content"u8);
            json.WriteString("bucket"u8, stored.Bucket);
            json.WriteString("name"u8, stored.Name);
            json.WriteNumber("size"u8, stored.Size);
            json.WriteString("sha256"u8, stored.Sha256);
            json.WriteEndObject();
        }
        else
        {
            texts.WriteCut(json, messages, room);
            isCut = true;
        }

        if (!isCut) return;
        json.WriteBoolean("truncated"u8, true);
        parts.CountCut();
    }

    /// <summary>Puts the conversation into the object store; null if it cannot be put there.</summary>
    private async ValueTask<StoredObject?> StoreAsync(ReadOnlyMemory<byte> content)
    {
        using var patience = new CancellationTokenSource(StorePatience, parts.Time);
        try
        {
            return await parts.Streams.Content.PutAsync(summary.TraceId, content, patience.Token).ConfigureAwait(false);
        }
        catch (Exception problem) when (problem is JetStreamException or JsonException or NatsException or OperationCanceledException)
        {
            parts.Log.ConversationCut(summary.TraceId, problem.Message);
            return null;
        }
    }
}
