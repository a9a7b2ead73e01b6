using System.Buffers;
using Proxy.Chat;

namespace Proxy.Dialects.Anthropic;

/// <summary>A host that speaks Anthropic's Messages API: Anthropic itself, and local hosts that offer the same API.</summary>
internal sealed class AnthropicBackendDialect : BackendDialect
{
    public override DialectName Name => DialectName.Anthropic;
    public override StreamFraming Framing => StreamFraming.ServerSentEvents;
    public override string ChatPath => "/v1/messages";
    public override KeyValuePair<string, string>? VersionHeader { get; } = new("anthropic-version", "2023-06-01");

    public override ProxyError? Unsayable(ChatRequest request) => AnthropicRequestCodec.Unsayable(request);

    public override void WriteRequest(ChatRequest request, string model, IBufferWriter<byte> output, List<string> lost) =>
        AnthropicRequestCodec.Write(request, model, output, lost);

    public override EventReader NewEventReader() => new AnthropicEventReader();

    protected override bool ReadWhole(ReadOnlySpan<byte> body, List<ChatEvent> events) =>
        AnthropicFrames.IsWholeAnswer(body) && new AnthropicEventReader().ReadWhole(body, events);

    public override FrameKind Classify(ReadOnlySpan<byte> frame) => AnthropicFrames.Classify(frame);

    public override bool IsEnd(ReadOnlySpan<byte> frame) => frame.Length < 1024 && frame.IndexOf("message_stop"u8) >= 0 && Classify(frame) is FrameKind.End;

    public override ReadOnlySpan<byte> EndMarker => "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"u8;

    public override bool SaysWhyFinished(ReadOnlySpan<byte> frame) => HasText(frame, "\"stop_reason\""u8);

    public override bool IsWholeAnswer(ReadOnlySpan<byte> body) => AnthropicFrames.IsWholeAnswer(body);

    public override HostError ReadError(ReadOnlySpan<byte> body) => AnthropicFrames.ReadError(body);

    public override Usage? FindUsage(ReadOnlySpan<byte> frame) => AnthropicJson.FindUsage(frame);
}
