using System.Buffers;
using System.Text.Json;
using Proxy.Chat;
using Proxy.Dialects.OpenAiChat;

namespace Proxy.Dialects.OpenAiResponses;

/// <summary>Errors inside a stream of <c>/v1/responses</c>. Outside a stream, errors are the same as on every OpenAI path.</summary>
internal static class OpenAiResponsesErrors
{
    /// <summary>
    /// The code in <c>response.error</c>. Agents read it to decide whether to retry or to shorten their history. For the latter, OpenAI's servers send
    /// <c>context_length_exceeded</c>, which their published schema does not list.
    /// </summary>
    public static string CodeOf(ProxyError error) =>
        error.Kind is ProxyErrorKind.ContextLengthExceeded || error.Code is "context_length_exceeded" ? "context_length_exceeded"
        : error.Status is 429 ? "rate_limit_exceeded"
        : error.Status is >= 400 and < 500 ? "invalid_prompt"
        : "server_error";

    /// <summary>
    /// The body of the <c>error</c> event: the event's own members, and OpenAI's error object, without which OpenAI's SDKs raise no exception.
    /// </summary>
    public static void WriteEvent(Utf8JsonWriter json, ProxyError error, int sequence)
    {
        var row = ProxyErrorTable.Of(error);
        json.WriteStartOfType("error"u8);
        json.WriteString("code"u8, error.Code ?? row.Code);
        json.WriteString("message"u8, error.Message);
        json.WriteString("param"u8, error.Param);
        OpenAiChatErrors.WriteMember(json, error);
        json.WriteNumber("sequence_number"u8, sequence);
        json.WriteEndObject();
    }

    /// <summary>Ends a stream with an error when its writer, and so the response's id and items, is no longer available.</summary>
    public static void WriteToStream(ProxyError error, string traceId, IBufferWriter<byte> output) =>
        new OpenAiResponsesEventWriter(new ReplyStamp(traceId, DateTimeOffset.UnixEpoch, error.Model ?? ""))
            .Write(new ChatEvent.Finished(FinishReason.Error, Error: error), output);
}
