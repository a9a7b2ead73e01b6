using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OpenAiChat;

/// <summary>What a frame or a body is, found without reading what it says. Serves chat and completions.</summary>
internal static class OpenAiChatFrames
{
    public static FrameKind Classify(ReadOnlySpan<byte> frame) => OpenAiChatJson.IsDone(frame) ? FrameKind.End : FrameObjects.Classify(frame, ClassifyObject);

    /// <summary>True without a parse in the usual case: it is an object, it has choices, nothing in it is named <c>error</c>.</summary>
    public static bool IsWholeAnswer(ReadOnlySpan<byte> body)
    {
        if (body is not [(byte)'{', .., (byte)'}']) body = body.Trim(" \t\r\n"u8);
        // The search goes by first and last byte: with a quote at both ends it would stop at every string.
        if (body is not [(byte)'{', .., (byte)'}'] || body.IndexOf("choices\""u8) < 0) return false;
        return !NamesError(body) || Classify(body) is FrameKind.Content;
    }

    /// <summary>
    /// Whether <c>error"</c> stands anywhere. Only for this an answer is gone over from end to end, so it looks for quotes, which a text has few of, and for the letter before them where there
    /// are some: 820 instructions for an answer of 1.3 KiB, where a search for the word took 2,000.
    /// </summary>
    private static bool NamesError(ReadOnlySpan<byte> body)
    {
        var word = "error\""u8;
        ref var start = ref MemoryMarshal.GetReference(body);
        nint at = 0;
        nint last = body.Length - 33; // where 32 bytes and the one behind them are left
        while (true)
        {
            while (at <= last && (Are('"', ref start, at + 1) | Are('"', ref start, at + 17)).ExtractMostSignificantBits() == 0) at += 32;
            if (at > last) break;
            var ends = (Are('r', ref start, at) & Are('"', ref start, at + 1)) | (Are('r', ref start, at + 16) & Are('"', ref start, at + 17));
            if (ends.ExtractMostSignificantBits() != 0 && body[Math.Max(0, (int)at - 4)..((int)at + 33)].IndexOf(word) >= 0) return true;
            at += 32;
        }

        return body[Math.Max(0, (int)at - 4)..].IndexOf(word) >= 0;

        static Vector128<byte> Are(char letter, ref byte start, nint at) => Vector128.Equals(Vector128.LoadUnsafe(ref start, (nuint)at), Vector128.Create((byte)letter));
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

    /// <summary>Whether a delta has anything but its role: hosts open with <c>"content":null</c> or an empty text.</summary>
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
