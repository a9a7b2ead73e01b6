using System.Buffers;
using System.Text.Json;
using Proxy.Chat;
using Proxy.Dialects.OpenAiChat;

namespace Proxy.Dialects.OpenAiResponses;

/// <summary>Errors inside a stream of responses. Outside of one they are those of every OpenAI path.</summary>
internal static class OpenAiResponsesErrors
{
    /// <summary>
    /// The code in <c>response.error</c>, by which agents decide: whether to try again, or to shorten their history. For the latter OpenAI's servers say a word that its schema leaves out.
    /// </summary>
    public static string CodeOf(ProxyError error) =>
        error.Kind is ProxyErrorKind.ContextLengthExceeded || error.Code is "context_length_exceeded" ? "context_length_exceeded"
        : error.Status is 429 ? "rate_limit_exceeded"
        : error.Status is >= 400 and < 500 ? "invalid_prompt"
        : "server_error";

    /// <summary>The body of the <c>error</c> event: its own members, and OpenAI's error object, which alone makes its SDKs raise.</summary>
    public static void WriteEvent(Utf8JsonWriter json, ProxyError error, int sequence)
    {
        var row = ProxyErrorTable.Of(error);
        json.WriteStartObject();
        json.WriteString("type"u8, "error"u8);
        json.WriteString("code"u8, error.Code ?? row.Code);
        json.WriteString("message"u8, error.Message);
        json.WriteString("param"u8, error.Param);
        OpenAiChatErrors.WriteMember(json, error);
        json.WriteNumber("sequence_number"u8, sequence);
        json.WriteEndObject();
    }

    /// <summary>Ends a stream of which nothing is known any more.</summary>
    public static void WriteToStream(ProxyError error, string traceId, IBufferWriter<byte> output) =>
        new OpenAiResponsesEventWriter(new ReplyStamp(traceId, DateTimeOffset.UnixEpoch, error.Model ?? "")).Write(new ChatEvent.Finished(FinishReason.Error, Error: error), output);
}
