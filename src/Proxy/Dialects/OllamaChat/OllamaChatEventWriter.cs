using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OllamaChat;

/// <summary>Writes the lines of <c>/api/chat</c>. Tool calls are written complete in the last line, together with the counts, as Ollama itself does.</summary>
internal sealed class OllamaChatEventWriter(ReplyStamp stamp) : OllamaEventWriter(stamp)
{
    private readonly List<WholeToolCall> calls = [];

    public static void WriteCalls(Utf8JsonWriter json, List<WholeToolCall> calls, ReplyStamp stamp)
    {
        if (calls.Count == 0) return;
        json.WriteStartArray("tool_calls"u8);
        foreach (var call in calls)
        {
            json.WriteStartObject();
            json.WriteString("id"u8, call.Id ?? $"call_{stamp.TraceId}{call.Index}");
            json.WriteStartObject("function"u8);
            json.WriteNumber("index"u8, call.Index);
            json.WriteString("name"u8, call.Name ?? "");
            OllamaChatJson.WriteArguments(json, call.Arguments);
            json.WriteEndObject();
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    /// <summary>Writes the members that follow the message in the last line or in a whole answer.</summary>
    public static void WriteEnd(Utf8JsonWriter json, FinishReason reason, JsonElement? opaque, Usage? usage)
    {
        OllamaChatJson.WriteDone(json, reason, opaque);
        OllamaChatJson.WriteUsage(json, usage);
    }

    protected override void Call(ChatEvent.ToolCall piece) => WholeToolCall.Add(calls, piece);

    protected override void WriteText(Utf8JsonWriter json, ChatEvent.Token token)
    {
        var thinks = token.Kind is TokenKind.Reasoning;
        BeginMessage(json);
        json.WriteString("content"u8, thinks ? "" : token.Text);
        if (thinks) json.WriteString("thinking"u8, token.Text);
        json.WriteEndObject();
    }

    protected override void WriteLast(Utf8JsonWriter json, FinishReason reason, JsonElement? opaque, Usage? usage)
    {
        BeginMessage(json);
        json.WriteString("content"u8, ""u8);
        WholeToolCall.Sort(calls);
        WriteCalls(json, calls, Stamp);
        json.WriteEndObject();
        WriteEnd(json, reason, opaque, usage);
    }

    private static void BeginMessage(Utf8JsonWriter json)
    {
        json.WriteStartObject("message"u8);
        json.WriteString("role"u8, "assistant"u8);
    }
}
