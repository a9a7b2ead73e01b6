using System.Buffers;
using Proxy.Chat;

namespace Proxy.Dialects.OpenAiResponses;

/// <summary>A host that speaks <c>/v1/responses</c>: vLLM, llama.cpp, LM Studio, OpenAI itself.</summary>
internal sealed class OpenAiResponsesBackendDialect : BackendDialect
{
    public override DialectName Name => DialectName.OpenAiResponses;
    public override StreamFraming Framing => StreamFraming.ServerSentEvents;
    public override string ChatPath => "/v1/responses";

    public override ProxyError? Unsayable(ChatRequest request) => OpenAiResponsesRequestCodec.Unsayable(request);

    public override void WriteRequest(ChatRequest request, string model, IBufferWriter<byte> output, List<string> lost) =>
        OpenAiResponsesRequestCodec.Write(request, model, output, lost);

    public override EventReader NewEventReader() => new OpenAiResponsesEventReader();

    protected override bool ReadWhole(ReadOnlySpan<byte> body, List<ChatEvent> events) => OpenAiResponsesEventReader.ReadWhole(body, events);

    public override bool IsEnd(ReadOnlySpan<byte> frame) => OpenAiResponsesFrames.IsEnd(frame);

    public override FrameKind Classify(ReadOnlySpan<byte> frame) => OpenAiResponsesFrames.Classify(frame);

    public override bool IsWholeAnswer(ReadOnlySpan<byte> body) => OpenAiResponsesFrames.IsWholeAnswer(body);

    public override HostError ReadError(ReadOnlySpan<byte> body) => OpenAiResponsesFrames.ReadError(body);

    public override Usage? FindUsage(ReadOnlySpan<byte> frame) => OpenAiResponsesJson.FindUsage(frame);
}
