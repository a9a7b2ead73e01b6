using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OpenAiResponses;

/// <summary>Tells what kind of frame or body this is without reading its content.</summary>
internal static class OpenAiResponsesFrames
{
    /// <summary>Called for every relayed frame, so a frame is parsed only if it contains one of the two end words.</summary>
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

    /// <summary>True for a whole response that did not fail, was not cancelled and is not still running.</summary>
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

    /// <summary>The error of a host. In a failed response the error object is nested one level deeper than elsewhere.</summary>
    public static HostError ReadError(ReadOnlySpan<byte> body)
    {
        try
        {
            var root = WireJson.Parse(body);
            if (root.ValueKind is JsonValueKind.Object && root.TryGetProperty("response"u8, out var response)) root = response;
            if (root.ValueKind is JsonValueKind.Object && root.TryGetProperty("error"u8, out var error) && error.ValueKind is JsonValueKind.Object
                && OpenAiResponsesJson.Text(error, "message"u8) is not null)
            {
                var said = HostErrorBody.Read(System.Runtime.InteropServices.JsonMarshal.GetRawUtf8Value(error));
                // A response carries no status, so it is derived from the code: is the client or the host at fault?
                return said.Status is not null
                    ? said
                    : said with { Status = said.Code switch { "context_length_exceeded" or "invalid_prompt" => 400, "rate_limit_exceeded" => 429, _ => null } };
            }
        }
        catch (Exception problem) when (problem is JsonException or InvalidOperationException)
        {
            // Not JSON: the text itself is quoted below.
        }

        return HostErrorBody.Read(body);
    }

    /// <summary>True for the end marker of Chat Completions (<c>[DONE]</c>), which some hosts send after this dialect's own.</summary>
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
                || type.ValueTextEquals("response.content_part.added"u8) || type.ValueTextEquals("response.reasoning_summary_part.added"u8)
                || type.ValueTextEquals("keepalive"u8) ? FrameKind.Preamble
            : FrameKind.Content;
    }
}
