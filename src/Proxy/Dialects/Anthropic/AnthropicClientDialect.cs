using System.Buffers;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.Anthropic;

/// <summary><c>POST /v1/messages</c>, for Anthropic's clients.</summary>
/// <param name="counts">True for a call that only counts tokens; <c>max_tokens</c> is then not required.</param>
internal sealed class AnthropicClientDialect(bool counts = false) : ClientDialect
{
    public static ReadOnlySpan<byte> Ping => "event: ping\ndata: {\"type\": \"ping\"}\n\n"u8;

    public override DialectName Name => DialectName.Anthropic;
    public override StreamFraming Framing => StreamFraming.ServerSentEvents;
    public override string StreamContentType => AnthropicJson.StreamContentType;
    public override string WholeContentType => AnthropicJson.WholeContentType;
    public override bool StreamsByDefault => false;
    public override ReadOnlySpan<byte> KeepAlive => Ping;
    public override string RequestIdHeader => "request-id";

    public override int StatusOf(ProxyError error) => AnthropicErrors.StatusOf(error);

    public override IReadOnlyList<BodyEdit> NormalisePrompt(ReadOnlySpan<byte> body) => PrefixHygiene.Find(body);

    public override void CutPrompt(ReadOnlySpan<byte> body, List<Range> pieces) => PromptPieces.Find(body, pieces);

    public override BodyEdit? PutBeforeLastTurn(ReadOnlySpan<byte> body, string text) => LastUserTurn.PutBefore(body, "messages"u8, "text"u8, text);

    public override ProxyError? ReadRequest(ReadOnlyMemory<byte> body, out ChatRequest? request) =>
        AnthropicRequestCodec.Read(body, limited: !counts, out request);

    public override bool IsOnlySpelling(string name, JsonElement value, ChatRequest request) => AnthropicRequestCodec.IsOnlySpelling(name, value);

    public override EventWriter NewEventWriter(ReplyStamp stamp) => new AnthropicEventWriter(stamp);

    public override void WriteWhole(IReadOnlyList<ChatEvent> events, ReplyStamp stamp, IBufferWriter<byte> output) =>
        AnthropicWholeMessage.Write(events, stamp, output);

    public override void WriteError(ProxyError error, string traceId, IBufferWriter<byte> output) => AnthropicErrors.Write(error, traceId, output);

    public override void WriteStreamError(ProxyError error, string traceId, IBufferWriter<byte> output) =>
        AnthropicErrors.WriteToStream(error, traceId, output);
}
