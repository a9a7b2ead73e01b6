using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OllamaChat;

/// <summary>Tells what kind of line or whole answer this is without reading its content. For chat and generate.</summary>
internal static class OllamaChatFrames
{
    public static FrameKind Classify(ReadOnlySpan<byte> frame) => FrameObjects.Classify(frame, ClassifyObject);

    /// <summary>True for a single object with <c>"done":true</c>. Several objects are a stream.</summary>
    public static bool IsWholeAnswer(ReadOnlySpan<byte> body) => FrameObjects.Classify(body, ClassifyObject, all: false) is FrameKind.End;

    /// <summary>Parses the frame only if it contains the text <c>"done":true</c> somewhere, because that text may also stand in a tool's arguments.</summary>
    public static bool IsEnd(ReadOnlySpan<byte> frame) =>
        (frame.IndexOf("\"done\":true"u8) >= 0 || frame.IndexOf("\"done\": true"u8) >= 0) && Classify(frame) is FrameKind.End;

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
            else if (json.ValueTextEquals("response"u8) || json.ValueTextEquals("thinking"u8))
            {
                json.Read();
                if (json.TokenType is JsonTokenType.String && json.ValueSpan.Length > 0 && kind is FrameKind.Preamble) kind = FrameKind.Content;
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
