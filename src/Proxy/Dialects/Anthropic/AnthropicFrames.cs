using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.Anthropic;

/// <summary>Tells what kind of frame or body this is without reading its content.</summary>
internal static class AnthropicFrames
{
    public static FrameKind Classify(ReadOnlySpan<byte> frame) => FrameObjects.Classify(frame, ClassifyObject);

    /// <summary>True for a complete message. False for an error and for an answer in another dialect.</summary>
    public static bool IsWholeAnswer(ReadOnlySpan<byte> body)
    {
        body = body.Trim(" \t\r\n"u8);
        if (!body.StartsWith("{"u8) || !body.EndsWith("}"u8)) return false;
        try
        {
            var json = WireJson.Open(body);
            var (message, content) = (false, false);
            while (json.Read() && json.TokenType is JsonTokenType.PropertyName)
            {
                if (json.ValueTextEquals("type"u8))
                {
                    message = json.ReadIs(JsonTokenType.String) && json.ValueTextEquals("message"u8);
                }
                else if (json.ValueTextEquals("content"u8))
                {
                    content = json.ReadIs(JsonTokenType.StartArray);
                }
                else
                {
                    json.Skip();
                }
            }

            return message && content;
        }
        catch (Exception problem) when (problem is JsonException or InvalidOperationException)
        {
            return false;
        }
    }

    /// <summary>The host's error. If the host gave no status, it gets the one that Anthropic's API uses for this error type.</summary>
    public static HostError ReadError(ReadOnlySpan<byte> body)
    {
        var said = HostErrorBody.Read(body);
        return said.Status is not null ? said : said with
        {
            Status = said.Type switch
            {
                "invalid_request_error" => 400,
                "authentication_error" => 401,
                "permission_error" => 403,
                "not_found_error" => 404,
                "request_too_large" => 413,
                "rate_limit_error" => 429,
                "overloaded_error" => 503,
                _ => null,
            },
        };
    }

    private static FrameKind ClassifyObject(ref Utf8JsonReader json)
    {
        var block = false;
        while (json.Read() && json.TokenType is JsonTokenType.PropertyName)
        {
            if (json.ValueTextEquals("type"u8))
            {
                json.Read();
                if (json.TokenType is not JsonTokenType.String) return FrameKind.Error;
                if (json.ValueTextEquals("content_block_delta"u8) || json.ValueTextEquals("message_delta"u8)) return FrameKind.Content;
                if (json.ValueTextEquals("message_stop"u8)) return FrameKind.End;
                if (json.ValueTextEquals("error"u8)) return FrameKind.Error;
                if (!json.ValueTextEquals("content_block_start"u8)) return FrameKind.Preamble;
                block = true;
            }
            else if (json.ValueTextEquals("error"u8))
            {
                json.Read();
                if (json.TokenType is not JsonTokenType.Null) return FrameKind.Error;
            }
            else if (block && json.ValueTextEquals("content_block"u8))
            {
                json.Read();
                return json.TokenType is JsonTokenType.StartObject && Opens(ref json) ? FrameKind.Content : FrameKind.Preamble;
            }
            else
            {
                json.Skip();
            }
        }

        return FrameKind.Preamble;
    }

    /// <summary>True if the start of a block already carries content. An empty text or thought does not; a call does, because it has a name.</summary>
    private static bool Opens(ref Utf8JsonReader json)
    {
        while (json.Read() && json.TokenType is JsonTokenType.PropertyName)
        {
            var counts = json.ValueTextEquals("text"u8) || json.ValueTextEquals("thinking"u8) || json.ValueTextEquals("data"u8)
                || json.ValueTextEquals("name"u8);
            json.Read();
            if (counts && json.TokenType is JsonTokenType.String && json.ValueSpan.Length > 0) return true;
            json.Skip();
        }

        return false;
    }
}
