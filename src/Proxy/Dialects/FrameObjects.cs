using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects;

/// <summary>What the object at whose beginning the reader stands means. It may leave the reader inside.</summary>
internal delegate FrameKind ObjectKind(ref Utf8JsonReader json);

/// <summary>A frame is one object of JSON, but some hosts send two of them in one.</summary>
internal static class FrameObjects
{
    /// <summary>What a frame means: the failure or the end that one of its objects is, else whether one of them says anything.</summary>
    /// <param name="all">Not the first object alone: what is no frame but a body may be several lines.</param>
    public static FrameKind Classify(ReadOnlySpan<byte> frame, ObjectKind kindOf, bool all = true)
    {
        var kind = FrameKind.Preamble;
        try
        {
            while (true)
            {
                var json = new Utf8JsonReader(frame, WireJson.Reading);
                json.Read();
                if (json.TokenType is not JsonTokenType.StartObject) return FrameKind.Error;
                var start = json;
                var said = kindOf(ref json);
                if (said is FrameKind.Error or FrameKind.End) return said;
                if (said is FrameKind.Content) kind = said;
                if (!all || (frame.IndexOf("}{"u8) < 0 && frame.IndexOf("}\n{"u8) < 0)) return kind;

                start.Skip();
                frame = frame[(int)start.BytesConsumed..].TrimStart(" \t\r\n"u8);
                if (frame.IsEmpty) return kind;
            }
        }
        catch (Exception problem) when (problem is JsonException or InvalidOperationException) // not JSON: the host fails
        {
            return FrameKind.Error;
        }
    }
}
