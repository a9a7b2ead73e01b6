using System.Text.Json;
using Proxy.Chat;
using Proxy.Dialects.OllamaChat;

namespace Proxy.Dialects.OllamaGenerate;

/// <summary>Writes the lines of <c>/api/generate</c>. It has no tools, so calls are dropped.</summary>
internal sealed class OllamaGenerateEventWriter(ReplyStamp stamp) : OllamaEventWriter(stamp)
{
    /// <summary>
    /// Writes the members that end an answer. <c>context</c> is an empty list: its token numbers are only meaningful to an Ollama host, but clients expect the
    /// member.
    /// </summary>
    public static void WriteEnd(Utf8JsonWriter json, FinishReason reason, JsonElement? opaque, Usage? usage)
    {
        OllamaChatJson.WriteDone(json, reason, opaque);
        if (opaque.Member("done_reason"u8) is null) // answers to loading and unloading have no context
        {
            json.WriteStartArray("context"u8);
            json.WriteEndArray();
        }

        OllamaChatJson.WriteUsage(json, usage);
    }

    protected override void WriteText(Utf8JsonWriter json, ChatEvent.Token token)
    {
        var thinks = token.Kind is TokenKind.Reasoning;
        json.WriteString("response"u8, thinks ? "" : token.Text);
        if (thinks) json.WriteString("thinking"u8, token.Text);
    }

    protected override void WriteLast(Utf8JsonWriter json, FinishReason reason, JsonElement? opaque, Usage? usage)
    {
        json.WriteString("response"u8, ""u8);
        WriteEnd(json, reason, opaque, usage);
    }
}
