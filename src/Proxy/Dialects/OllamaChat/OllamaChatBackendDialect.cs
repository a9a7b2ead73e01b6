using System.Buffers;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OllamaChat;

/// <summary>A host that speaks Ollama's own API.</summary>
internal sealed class OllamaChatBackendDialect : BackendDialect
{
    public override DialectName Name => DialectName.OllamaChat;
    public override StreamFraming Framing => StreamFraming.JsonLines;
    public override string ChatPath => "/api/chat";

    public override ProxyError? Unsayable(ChatRequest request) => OllamaChatRequestCodec.Unsayable(request);

    public override void WriteRequest(ChatRequest request, string model, IBufferWriter<byte> output, List<string> lost) => OllamaChatRequestCodec.Write(request, model, output, lost);

    public override EventReader NewEventReader() => new OllamaChatEventReader();

    public override bool TryReadWhole(ReadOnlySpan<byte> body, List<ChatEvent> events)
    {
        var reader = new OllamaChatEventReader();
        var read = new List<ChatEvent>();
        reader.Read(body, read);
        if (!reader.End(read) || read is [.., ChatEvent.Finished { Error: not null }]) return false;
        events.AddRange(read);
        return true;
    }

    public override FrameKind Classify(ReadOnlySpan<byte> frame)
    {
        try
        {
            var json = new Utf8JsonReader(frame, WireJson.Reading);
            json.Read();
            return json.TokenType is JsonTokenType.StartObject ? ClassifyObject(ref json) : FrameKind.Error;
        }
        catch (Exception problem) when (problem is JsonException or InvalidOperationException) // not JSON: the host fails
        {
            return FrameKind.Error;
        }
    }

    /// <summary>Parsed only where the words stand somewhere: a tool's arguments may have a <c>done</c> of their own.</summary>
    public override bool IsEnd(ReadOnlySpan<byte> frame) =>
        (frame.IndexOf("\"done\":true"u8) >= 0 || frame.IndexOf("\"done\": true"u8) >= 0) && Classify(frame) is FrameKind.End;

    public override bool IsWholeAnswer(ReadOnlySpan<byte> body) => Classify(body) is FrameKind.End;

    public override HostError ReadError(ReadOnlySpan<byte> body) => HostErrorBody.Read(body);

    public override Usage? FindUsage(ReadOnlySpan<byte> frame) => OllamaChatJson.FindUsage(frame);

    private static FrameKind ClassifyObject(ref Utf8JsonReader json)
    {
        var kind = FrameKind.Preamble;
        while (json.Read() && json.TokenType is JsonTokenType.PropertyName)
        {
            if (json.ValueTextEquals("error"u8))
            {
                json.Read();
                if (json.TokenType is not JsonTokenType.Null) return FrameKind.Error;
            }
            else if (json.ValueTextEquals("done"u8))
            {
                json.Read();
                if (json.TokenType is JsonTokenType.True) kind = FrameKind.End;
                json.Skip();
            }
            else if (json.ValueTextEquals("message"u8))
            {
                json.Read();
                if (json.TokenType is not JsonTokenType.StartObject) json.Skip();
                else if (Says(ref json) && kind is FrameKind.Preamble) kind = FrameKind.Content;
            }
            else
            {
                json.Skip();
            }
        }

        return kind;
    }

    private static bool Says(ref Utf8JsonReader json)
    {
        var says = false;
        while (json.Read() && json.TokenType is JsonTokenType.PropertyName)
        {
            var counts = !json.ValueTextEquals("role"u8);
            json.Read();
            var start = json.BytesConsumed;
            says |= counts && json.TokenType is JsonTokenType.String && json.ValueSpan.Length > 0;
            json.Skip();
            says |= counts && json.TokenType is (JsonTokenType.EndArray or JsonTokenType.EndObject) && json.BytesConsumed > start + 1;
        }

        return says;
    }
}
