using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OpenAiChat;

/// <summary>Tells what kind of frame or body this is without reading its content. For chat and completions.</summary>
internal static class OpenAiChatFrames
{
    public static FrameKind Classify(ReadOnlySpan<byte> frame) => OpenAiChatJson.IsDone(frame) ? FrameKind.End : FrameObjects.Classify(frame, ClassifyObject);

    /// <summary>Usually decides without parsing: the body is an object, it contains <c>choices"</c>, and it does not contain <c>error"</c>.</summary>
    public static bool IsWholeAnswer(ReadOnlySpan<byte> body)
    {
        if (body is not [(byte)'{', .., (byte)'}']) body = body.Trim(" \t\r\n"u8);
        // The vectorised search compares the first and the last byte of the pattern. With a quote at both ends it would stop at every string.
        if (body is not [(byte)'{', .., (byte)'}'] || body.IndexOf("choices\""u8) < 0) return false;
        return !NamesError(body) || Classify(body) is FrameKind.Content;
    }

    /// <summary>
    /// True if <c>error"</c> occurs anywhere in the body. Only this search reads an answer from end to end, so it looks for quotes, which are rare in text, and
    /// checks the letter before them: 820 instructions for an answer of 1.3 KiB, where a plain search for the word took 2,000.
    /// </summary>
    private static bool NamesError(ReadOnlySpan<byte> body)
    {
        var word = "error\""u8;
        ref var start = ref MemoryMarshal.GetReference(body);
        nint at = 0;
        nint last = body.Length - 33; // leaves room for 32 bytes and the one after them
        while (true)
        {
            while (at <= last && (Are('"', ref start, at + 1) | Are('"', ref start, at + 17)).ExtractMostSignificantBits() == 0) at += 32;
            if (at > last) break;
            var ends = (Are('r', ref start, at) & Are('"', ref start, at + 1)) | (Are('r', ref start, at + 16) & Are('"', ref start, at + 17));
            if (ends.ExtractMostSignificantBits() != 0 && body[Math.Max(0, (int)at - 4)..((int)at + 33)].IndexOf(word) >= 0) return true;
            at += 32;
        }

        return body[Math.Max(0, (int)at - 4)..].IndexOf(word) >= 0;

        static Vector128<byte> Are(char letter, ref byte start, nint at) =>
            Vector128.Equals(Vector128.LoadUnsafe(ref start, (nuint)at), Vector128.Create((byte)letter));
    }

    private static FrameKind ClassifyObject(ref Utf8JsonReader json)
    {
        var kind = FrameKind.Preamble;
        bool listed = false, told = false;
        while (json.Read() && json.TokenType is JsonTokenType.PropertyName)
        {
            if (json.ValueTextEquals("error"u8))
            {
                json.Read();
                if (json.TokenType is not JsonTokenType.Null) return FrameKind.Error;
            }
            else if (json.ValueTextEquals("object"u8))
            {
                json.Read();
                if (json.TokenType is JsonTokenType.String && json.ValueTextEquals("error"u8)) return FrameKind.Error;
                json.Skip();
            }
            else if (json.ValueTextEquals("choices"u8))
            {
                json.Read();
                listed = true;
                if (json.TokenType is not JsonTokenType.StartArray) json.Skip();
                else if (AnyContent(ref json)) kind = FrameKind.Content;
            }
            else if (json.ValueTextEquals("message"u8))
            {
                json.Read();
                told = json.TokenType is JsonTokenType.String;
                json.Skip();
            }
            else
            {
                json.Skip();
            }
        }

        return told && !listed ? FrameKind.Error : kind;
    }

    private static bool AnyContent(ref Utf8JsonReader json)
    {
        var any = false;
        while (json.Read() && json.TokenType is not JsonTokenType.EndArray)
        {
            if (json.TokenType is not JsonTokenType.StartObject)
            {
                json.Skip();
                continue;
            }

            while (json.Read() && json.TokenType is JsonTokenType.PropertyName)
            {
                if (json.ValueTextEquals("delta"u8) || json.ValueTextEquals("message"u8))
                {
                    json.Read();
                    if (json.TokenType is JsonTokenType.StartObject) any |= Says(ref json);
                    else json.Skip();
                }
                else if (json.ValueTextEquals("finish_reason"u8) || json.ValueTextEquals("text"u8))
                {
                    json.Read();
                    any |= json.TokenType is JsonTokenType.String && json.ValueSpan.Length > 0;
                    json.Skip();
                }
                else
                {
                    json.Skip();
                }
            }
        }

        return any;
    }

    /// <summary>True if a delta has any content besides its role. Hosts start with <c>"content":null</c> or an empty text.</summary>
    private static bool Says(ref Utf8JsonReader json)
    {
        var says = false;
        while (json.Read() && json.TokenType is JsonTokenType.PropertyName)
        {
            var counts = !json.ValueTextEquals("role"u8);
            json.Read();
            switch (json.TokenType)
            {
                case JsonTokenType.Null or JsonTokenType.False:
                    break;
                case JsonTokenType.String:
                    says |= counts && json.ValueSpan.Length > 0;
                    break;
                case JsonTokenType.StartArray or JsonTokenType.StartObject:
                    var start = json.BytesConsumed;
                    json.Skip();
                    says |= counts && json.BytesConsumed > start + 1;
                    break;
                default:
                    says |= counts;
                    break;
            }
        }

        return says;
    }
}
