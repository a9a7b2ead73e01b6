using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OpenAiResponses;

/// <summary>What a frame or a body is, found without reading what it says.</summary>
internal static class OpenAiResponsesFrames
{
    /// <summary>Asked of every relayed frame: only those that hold the word are parsed.</summary>
    public static bool IsEnd(ReadOnlySpan<byte> frame) =>
        (frame.IndexOf("\"response.completed\""u8) >= 0 || frame.IndexOf("\"response.incomplete\""u8) >= 0) && Classify(frame) is FrameKind.End;

    public static FrameKind Classify(ReadOnlySpan<byte> frame) => IsDone(frame) ? FrameKind.Preamble : FrameObjects.Classify(frame, ClassifyObject);

    private static FrameKind ClassifyObject(ref Utf8JsonReader json)
    {
        var (kind, typed, begins, calls) = (FrameKind.Preamble, false, false, false);
        while (json.Read() && json.TokenType is JsonTokenType.PropertyName)
        {
            if (json.ValueTextEquals("type"u8))
            {
                json.Read();
                if (json.TokenType is JsonTokenType.String) kind = KindOf(ref json, out begins);
                typed = true;
            }
            else if (!typed && json.ValueTextEquals("error"u8))
            {
                json.Read();
                if (json.TokenType is not JsonTokenType.Null) kind = FrameKind.Error;
                json.Skip();
            }
            else if (json.ValueTextEquals("item"u8))
            {
                json.Read();
                calls = json.TokenType is JsonTokenType.StartObject && IsCall(ref json);
                json.Skip();
            }
            else
            {
                json.Skip();
            }
        }

        return begins && !calls ? FrameKind.Preamble : kind;
    }

    /// <summary>A whole response that its host did not give up.</summary>
    public static bool IsWholeAnswer(ReadOnlySpan<byte> body)
    {
        try
        {
            var root = WireJson.Parse(body);
            return root.ValueKind is JsonValueKind.Object && root.TryGetProperty("output"u8, out var output) && output.ValueKind is JsonValueKind.Array
                && OpenAiResponsesJson.Text(root, "status"u8) is not ("failed" or "cancelled" or "in_progress" or "queued")
                && !(root.TryGetProperty("error"u8, out var error) && error.ValueKind is not JsonValueKind.Null);
        }
        catch (Exception problem) when (problem is JsonException or InvalidOperationException)
        {
            return false;
        }
    }

    /// <summary>A failed response wraps its error one deeper than other errors.</summary>
    public static HostError ReadError(ReadOnlySpan<byte> body)
    {
        try
        {
            var root = WireJson.Parse(body);
            if (root.ValueKind is JsonValueKind.Object && root.TryGetProperty("response"u8, out var response)) root = response;
            if (root.ValueKind is JsonValueKind.Object && root.TryGetProperty("error"u8, out var error) && error.ValueKind is JsonValueKind.Object && OpenAiResponsesJson.Text(error, "message"u8) is not null)
            {
                var said = HostErrorBody.Read(System.Runtime.InteropServices.JsonMarshal.GetRawUtf8Value(error));
                // In a response the code is the only word for whose fault it is.
                return said.Status is not null ? said : said with { Status = said.Code switch { "context_length_exceeded" or "invalid_prompt" => 400, "rate_limit_exceeded" => 429, _ => null } };
            }
        }
        catch (Exception problem) when (problem is JsonException or InvalidOperationException)
        {
            // Not JSON: it is quoted.
        }

        return HostErrorBody.Read(body);
    }

    /// <summary>Some hosts add chat's end marker after this dialect's own.</summary>
    public static bool IsDone(ReadOnlySpan<byte> frame) => OpenAiChat.OpenAiChatJson.IsDone(frame);

    private static bool IsCall(ref Utf8JsonReader item)
    {
        var calls = false;
        while (item.Read() && item.TokenType is JsonTokenType.PropertyName)
        {
            var type = item.ValueTextEquals("type"u8);
            item.Read();
            calls |= type && item.TokenType is JsonTokenType.String && item.ValueTextEquals("function_call"u8);
            item.Skip();
        }

        return calls;
    }

    private static FrameKind KindOf(ref Utf8JsonReader type, out bool begins)
    {
        begins = type.ValueTextEquals("response.output_item.added"u8);
        return type.ValueTextEquals("response.completed"u8) || type.ValueTextEquals("response.incomplete"u8) ? FrameKind.End
            : type.ValueTextEquals("error"u8) || type.ValueTextEquals("response.failed"u8) ? FrameKind.Error
            : type.ValueTextEquals("response.created"u8) || type.ValueTextEquals("response.in_progress"u8) || type.ValueTextEquals("response.queued"u8)
                || type.ValueTextEquals("response.content_part.added"u8) || type.ValueTextEquals("response.reasoning_summary_part.added"u8) || type.ValueTextEquals("keepalive"u8) ? FrameKind.Preamble
            : FrameKind.Content;
    }
}
