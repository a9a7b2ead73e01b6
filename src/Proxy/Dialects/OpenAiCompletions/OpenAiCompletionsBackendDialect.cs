using System.Buffers;
using Proxy.Chat;
using Proxy.Dialects.OpenAiChat;

namespace Proxy.Dialects.OpenAiCompletions;

/// <summary>A host that speaks <c>/v1/completions</c>. Only what relaying its bytes needs.</summary>
internal sealed class OpenAiCompletionsBackendDialect : BackendDialect
{
    public override DialectName Name => DialectName.OpenAiCompletions;
    public override StreamFraming Framing => StreamFraming.ServerSentEvents;
    public override string ChatPath => "/v1/completions";

    public override ProxyError? Unsayable(ChatRequest request) => new(ProxyErrorKind.NotImplemented, OpenAiCompletionsClientDialect.NotYet);

    public override void WriteRequest(ChatRequest request, string model, IBufferWriter<byte> output, List<string> lost) => throw new NotSupportedException(OpenAiCompletionsClientDialect.NotYet);

    public override EventReader NewEventReader() => throw new NotSupportedException(OpenAiCompletionsClientDialect.NotYet);

    public override bool TryReadWhole(ReadOnlySpan<byte> body, List<ChatEvent> events) => throw new NotSupportedException(OpenAiCompletionsClientDialect.NotYet);

    public override bool IsEnd(ReadOnlySpan<byte> frame) => OpenAiChatJson.IsDone(frame);

    public override FrameKind Classify(ReadOnlySpan<byte> frame) => OpenAiChatFrames.Classify(frame);

    public override bool IsWholeAnswer(ReadOnlySpan<byte> body) => OpenAiChatFrames.IsWholeAnswer(body);

    public override HostError ReadError(ReadOnlySpan<byte> body) => HostErrorBody.Read(body);

    public override Usage? FindUsage(ReadOnlySpan<byte> frame) => OpenAiChatJson.FindUsage(frame);
}
