using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OpenAiResponses;

/// <summary>What a frame or a body is, found without reading what it says.</summary>
internal static class OpenAiResponsesFrames
{
    /// <summary>Asked of every relayed frame: only those that hold the word are parsed.</summary>
    public static bool IsEnd(ReadOnlySpan<byte> frame) =>
        (frame.IndexOf("\"response.completed\""u8) >= 0 || frame.IndexOf("\"response.incomplete\""u8) >= 0) && Classify(frame) is FrameKind.End;

    public static FrameKind Classify(ReadOnlySpan<byte> frame)
    {
        try
        {
            var json = new Utf8JsonReader(frame, WireJson.Reading);
            json.Read();
            if (json.TokenType is not JsonTokenType.StartObject) return IsDone(frame) ? FrameKind.Preamble : FrameKind.Error;

            var kind = FrameKind.Preamble;
            var typed = false;
            while (json.Read() && json.TokenType is JsonTokenType.PropertyName)
            {
                if (json.ValueTextEquals("type"u8))
                {
                    json.Read();
                    if (json.TokenType is JsonTokenType.String) kind = KindOf(ref json, frame);
                    typed = true;
                }
                else if (!typed && json.ValueTextEquals("error"u8))
                {
                    json.Read();
                    if (json.TokenType is not JsonTokenType.Null) kind = FrameKind.Error;
                    json.Skip();
                }
                else
                {
                    json.Skip();
                }
            }

            return kind;
        }
        catch (Exception problem) when (problem is JsonException or InvalidOperationException) // not JSON: the host fails
        {
            return FrameKind.Error;
        }
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

    private static FrameKind KindOf(ref Utf8JsonReader type, ReadOnlySpan<byte> frame) =>
        type.ValueTextEquals("response.completed"u8) || type.ValueTextEquals("response.incomplete"u8) ? FrameKind.End
        : type.ValueTextEquals("error"u8) || type.ValueTextEquals("response.failed"u8) ? FrameKind.Error
        : type.ValueTextEquals("response.created"u8) || type.ValueTextEquals("response.in_progress"u8) || type.ValueTextEquals("response.queued"u8)
            || type.ValueTextEquals("response.content_part.added"u8) || type.ValueTextEquals("response.reasoning_summary_part.added"u8) || type.ValueTextEquals("keepalive"u8) ? FrameKind.Preamble
        : type.ValueTextEquals("response.output_item.added"u8) && frame.IndexOf("\"function_call\""u8) < 0 ? FrameKind.Preamble
        : FrameKind.Content;
}
