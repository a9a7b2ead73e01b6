using System.Buffers;
using Proxy.Chat;
using Proxy.Dialects.OpenAiChat;

namespace Proxy.Dialects.OpenAiCompletions;

/// <summary><c>POST /v1/completions</c>. Passed on to hosts that speak it; it cannot be translated yet, and says so.</summary>
internal sealed class OpenAiCompletionsClientDialect : ClientDialect
{
    public const string NotYet = "/v1/completions is only passed on to hosts that speak it themselves; it is not translated to another dialect yet";

    public override DialectName Name => DialectName.OpenAiCompletions;
    public override StreamFraming Framing => StreamFraming.ServerSentEvents;
    public override string StreamContentType => OpenAiChatJson.StreamContentType;
    public override string WholeContentType => OpenAiChatJson.WholeContentType;
    public override bool StreamsByDefault => false;
    public override ReadOnlySpan<byte> KeepAlive => OpenAiChatClientDialect.Comment;

    public override ProxyError? ReadRequest(ReadOnlyMemory<byte> body, out ChatRequest? request)
    {
        request = null;
        return new ProxyError(ProxyErrorKind.NotImplemented, NotYet);
    }

    public override EventWriter NewEventWriter(ReplyStamp stamp) => throw new NotSupportedException(NotYet);

    public override void WriteWhole(IReadOnlyList<ChatEvent> events, ReplyStamp stamp, IBufferWriter<byte> output) => throw new NotSupportedException(NotYet);

    public override void WriteError(ProxyError error, string traceId, IBufferWriter<byte> output) => OpenAiChatErrors.Write(error, output);

    public override void WriteStreamError(ProxyError error, string traceId, IBufferWriter<byte> output) => OpenAiChatErrors.WriteToStream(error, output);
}
