using System.Buffers;
using Proxy.Chat;

namespace Proxy.Dialects.Anthropic;

/// <summary>Errors on Anthropic's paths, in Anthropic's format.</summary>
internal static class AnthropicErrors
{
    /// <summary>Anthropic's own status for "overloaded". Its clients retry after it.</summary>
    public const int Overloaded = 529;

    /// <summary>Agents search for these words and shorten their history when they find them.</summary>
    private const string TooLong = "prompt is too long";

    /// <summary>The status that Anthropic's clients expect.</summary>
    public static int StatusOf(ProxyError error) => error.Status is 503 ? Overloaded : error.Status;

    public static void Write(ProxyError error, string traceId, IBufferWriter<byte> output)
    {
        using var json = WireJson.NewWriter(output);
        json.WriteStartOfType("error"u8);
        json.WriteStartObject("error"u8);
        json.WriteString("type"u8, TypeOf(error));
        json.WriteString("message"u8, Message(error));
        json.WriteEndObject();
        json.WriteString("request_id"u8, traceId);
        json.WriteEndObject();
    }

    /// <summary>Writes the error as the last event of a stream.</summary>
    public static void WriteToStream(ProxyError error, string traceId, IBufferWriter<byte> output)
    {
        output.Write("event: error\ndata: "u8);
        Write(error, traceId, output);
        output.Write("\n\n"u8);
    }

    private static string Message(ProxyError error)
    {
        var tooLong = error.Kind is ProxyErrorKind.ContextLengthExceeded || error.Code is "context_length_exceeded";
        if (tooLong && !error.Message.Contains(TooLong, StringComparison.OrdinalIgnoreCase)) return $"{TooLong}: {error.Message}";
        // Anthropic's error object has no member for the field's name
        return error.Param is { } param && !error.Message.Contains(param, StringComparison.Ordinal) ? $"{param}: {error.Message}" : error.Message;
    }

    /// <summary>
    /// The host's own type if it is one of Anthropic's, otherwise the type that belongs to the status, otherwise the one that belongs to the error's kind.
    /// </summary>
    private static string TypeOf(ProxyError error)
    {
        if (error.HostType is "invalid_request_error" or "authentication_error" or "billing_error" or "permission_error" or "not_found_error"
            or "request_too_large" or "rate_limit_error" or "timeout_error" or "api_error" or "overloaded_error")
            return error.HostType;
        if (error.Kind is not ProxyErrorKind.HostRefused) return ProxyErrorTable.Of(error.Kind).AnthropicType;
        return error.Status switch
        {
            401 => "authentication_error",
            402 => "billing_error",
            403 => "permission_error",
            404 => "not_found_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            503 or Overloaded => "overloaded_error",
            504 => "timeout_error",
            >= 500 => "api_error",
            _ => "invalid_request_error",
        };
    }
}
