using System.Buffers;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OpenAiChat;

/// <summary>A host that speaks OpenAI's Chat Completions: llama.cpp, vLLM, SGLang, LM Studio and others.</summary>
internal class OpenAiChatBackendDialect : BackendDialect
{
    public override DialectName Name => DialectName.OpenAiChat;
    public override StreamFraming Framing => StreamFraming.ServerSentEvents;
    public override string ChatPath => "/v1/chat/completions";

    public override ProxyError? Unsayable(ChatRequest request) => OpenAiChatRequestCodec.Unsayable(request);

    public override void WriteRequest(ChatRequest request, string model, IBufferWriter<byte> output, List<string> lost) =>
        OpenAiChatRequestCodec.Write(request, model, output, lost);

    public override EventReader NewEventReader() => new OpenAiChatEventReader();

    protected override bool ReadWhole(ReadOnlySpan<byte> body, List<ChatEvent> events) => new OpenAiChatEventReader().ReadWhole(body, events);

    public override BodyEdit? AskUsage(ReadOnlySpan<byte> body, ChatEnvelope envelope) => OpenAiUsageWish.In(body, envelope);

    public override bool OnlyCounts(ReadOnlySpan<byte> frame) => OpenAiUsageWish.OnlyCounts(frame);

    public override bool IsEnd(ReadOnlySpan<byte> frame) => OpenAiChatJson.IsDone(frame);

    public override ReadOnlySpan<byte> EndMarker => "data: [DONE]\n\n"u8;

    public override bool SaysWhyFinished(ReadOnlySpan<byte> frame) => HasText(frame, "\"finish_reason\""u8);

    public override FrameKind Classify(ReadOnlySpan<byte> frame) => OpenAiChatFrames.Classify(frame);

    public override bool IsWholeAnswer(ReadOnlySpan<byte> body) => OpenAiChatFrames.IsWholeAnswer(body);

    public override HostError ReadError(ReadOnlySpan<byte> body) => HostErrorBody.Read(body);

    public override Usage? FindUsage(ReadOnlySpan<byte> frame) => OpenAiChatJson.FindUsage(frame);
}
