using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects;

/// <summary>Classifies the object at the reader's position. The reader may be left inside the object.</summary>
internal delegate FrameKind ObjectKind(ref Utf8JsonReader json);

/// <summary>Classifies frames. A frame is normally one JSON object, but some hosts send two in one frame.</summary>
internal static class FrameObjects
{
    /// <summary>The kind of a frame: an error or the end if one of its objects is that, otherwise content if one of them has content.</summary>
    /// <param name="all">Classifies all objects of the frame, not only the first. False for a whole body, in which several objects mean a stream.</param>
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
        catch (Exception problem) when (problem is JsonException or InvalidOperationException) // not JSON: an error of the host
        {
            return FrameKind.Error;
        }
    }
}
