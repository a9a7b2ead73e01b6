using System.Buffers;
using Proxy.Chat;

namespace Proxy.Dialects.OllamaChat;

/// <summary>A host that speaks Ollama's own API.</summary>
internal class OllamaChatBackendDialect : BackendDialect
{
    public override DialectName Name => DialectName.OllamaChat;
    public override StreamFraming Framing => StreamFraming.JsonLines;
    public override string ChatPath => "/api/chat";

    public override ProxyError? Fit(ref ChatRequest request, in HostModelFacts facts)
    {
        if (ContextWindow.Choose(request, facts.ConfiguredContext, facts.RunningContext, facts.ContextLimit, out var context) is { } tooLong) return tooLong;
        request = request with { Sampling = request.Sampling with { ContextLength = context }, ModelThinks = facts.Thinks };
        return null;
    }

    public override ProxyError? Unsayable(ChatRequest request) => OllamaChatRequestCodec.Unsayable(request);

    public override void WriteRequest(ChatRequest request, string model, IBufferWriter<byte> output, List<string> lost) =>
        OllamaChatRequestCodec.Write(request, model, output, lost);

    public override EventReader NewEventReader() => new OllamaChatEventReader();

    protected override bool ReadWhole(ReadOnlySpan<byte> body, List<ChatEvent> events) => OllamaChatEventReader.ReadWhole(body, events);

    public override bool TakesImageAddresses => false;

    public override FrameKind Classify(ReadOnlySpan<byte> frame) => OllamaChatFrames.Classify(frame);

    public override bool IsEnd(ReadOnlySpan<byte> frame) => OllamaChatFrames.IsEnd(frame);

    public override bool IsWholeAnswer(ReadOnlySpan<byte> body) => OllamaChatFrames.IsWholeAnswer(body);

    public override HostError ReadError(ReadOnlySpan<byte> body) => HostErrorBody.Read(body);

    public override Usage? FindUsage(ReadOnlySpan<byte> frame) => OllamaChatJson.FindUsage(frame);
}
