using System.Buffers;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OpenAiChat;

/// <summary>Errors on OpenAI's paths: OpenAI's four members, and the HTTP status as a number for code that sees only the body.</summary>
internal static class OpenAiChatErrors
{
    public static void Write(ProxyError error, IBufferWriter<byte> output)
    {
        using var json = WireJson.NewWriter(output);
        json.WriteStartObject();
        WriteMember(json, error);
        json.WriteEndObject();
    }

    /// <summary>Writes the member <c>error</c>.</summary>
    public static void WriteMember(Utf8JsonWriter json, ProxyError error)
    {
        var row = ProxyErrorTable.Of(error);
        json.WriteStartObject("error"u8);
        json.WriteString("message"u8, error.Message);
        json.WriteString("type"u8, error.HostType ?? row.OpenAiType);
        json.WriteString("param"u8, error.Param);
        json.WriteString("code"u8, error.Code ?? row.Code);
        json.WriteNumber("status"u8, error.Status);
        json.WriteEndObject();
    }

    /// <summary>Writes the error as an event of a stream. SDKs raise an exception at this event and stop reading, so no end marker follows.</summary>
    public static void WriteToStream(ProxyError error, IBufferWriter<byte> output)
    {
        output.Write("data: "u8);
        Write(error, output);
        output.Write("\n\n"u8);
    }
}
