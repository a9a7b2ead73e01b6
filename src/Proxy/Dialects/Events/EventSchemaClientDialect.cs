using System.Buffers;
using Proxy.Chat;
using Proxy.Dialects.OpenAiChat;

namespace Proxy.Dialects.Events;

/// <summary>Answers as the events that workers publish: one JSON object on each line. For reading only; requests cannot be sent in it.</summary>
internal sealed class EventSchemaClientDialect : ClientDialect
{
    private static readonly OpenAiChatClientDialect Errors = new();

    public override DialectName Name => DialectName.Events;
    public override StreamFraming Framing => StreamFraming.JsonLines;
    public override string StreamContentType => EventSchemaJson.ContentType;
    public override string WholeContentType => EventSchemaJson.ContentType;
    public override bool StreamsByDefault => true;
    public override ReadOnlySpan<byte> KeepAlive => default;

    public override string ErrorContentType(ProxyError error) => Errors.ErrorContentType(error);

    public override void WriteError(ProxyError error, string traceId, IBufferWriter<byte> output) => Errors.WriteError(error, traceId, output);

    public override void WriteStreamError(ProxyError error, string traceId, IBufferWriter<byte> output) =>
        new EventSchemaWriter().Write(new ChatEvent.Finished(FinishReason.Error, Error: error), output);

    public override ProxyError? ReadRequest(ReadOnlyMemory<byte> body, out ChatRequest? request)
    {
        request = null;
        return new(ProxyErrorKind.NotImplemented, "requests cannot be sent as events");
    }

    public override EventWriter NewEventWriter(ReplyStamp stamp) => new EventSchemaWriter();

    public override void WriteWhole(IReadOnlyList<ChatEvent> events, ReplyStamp stamp, IBufferWriter<byte> output)
    {
        var writer = new EventSchemaWriter();
        foreach (var happened in events) writer.Write(happened, output);
    }
}
