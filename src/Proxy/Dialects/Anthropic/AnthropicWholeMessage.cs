using System.Buffers;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.Anthropic;

/// <summary>Writes a whole message from all its events. Blocks keep their order: the position of a thought among texts and calls matters.</summary>
internal static class AnthropicWholeMessage
{
    public static void Write(IReadOnlyList<ChatEvent> events, ReplyStamp stamp, IBufferWriter<byte> output)
    {
        var whole = WholeAnswer.Of(events, stamp);
        var choice = whole.Choices[0];
        using var json = WireJson.NewWriter(output);
        json.WriteStartObject();
        json.WriteString("id"u8, whole.Id ?? AnthropicJson.IdOf(stamp));
        json.WriteString("type"u8, "message"u8);
        json.WriteString("role"u8, "assistant"u8);
        json.WriteString("model"u8, stamp.Model);
        json.WriteStartArray("content"u8);
        WriteTexts(json, events);
        foreach (var call in choice.ToolCalls)
        {
            json.WriteStartObject();
            json.WriteString("type"u8, "tool_use"u8);
            json.WriteString("id"u8, AnthropicCallId.Safe(call.Id ?? AnthropicJson.CallIdOf(stamp, call.Index)));
            json.WriteString("name"u8, call.Name ?? "");
            ToolJson.WriteArguments(json, "input"u8, call.Arguments);
            AnthropicJson.WriteCaller(json);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        AnthropicJson.WriteStop(json, choice.Reason, choice.FinishOpaque);
        AnthropicJson.WriteUsage(json, whole.Usage);
        whole.Note.Write(json);
        json.WriteEndObject();
    }

    /// <summary>Writes texts and thoughts in the order in which they alternate.</summary>
    private static void WriteTexts(Utf8JsonWriter json, IReadOnlyList<ChatEvent> events)
    {
        JoinedText text = default;
        bool? thinking = null;
        for (var i = 0; i < events.Count; i++)
        {
            if (events[i].Choice != 0) continue;
            switch (events[i])
            {
                case ChatEvent.Token { Text.Length: > 0 } token:
                    var thinks = token.Kind is TokenKind.Reasoning;
                    if (thinking is { } before && before != thinks) Flush(null);
                    thinking = thinks;
                    text.Append(token.Text);
                    break;
                case ChatEvent.BlockEnded ended when ended.Opaque.Member("redacted_thinking"u8) is { ValueKind: JsonValueKind.String } data:
                    Flush(null);
                    json.WriteStartObject();
                    json.WriteString("type"u8, "redacted_thinking"u8);
                    json.WriteAsItCame("data", data);
                    json.WriteEndObject();
                    break;
                case ChatEvent.BlockEnded ended:
                    var signature = ended.Opaque.Member("signature"u8);
                    if (signature is not null && thinking is not true)
                    {
                        Flush(null);
                        thinking = true; // the host withheld the text of this thought
                    }

                    Flush(signature);
                    break;
            }
        }

        Flush(null);

        void Flush(JsonElement? signature)
        {
            if (thinking is not { } thought) return;
            json.WriteStartObject();
            json.WriteString("type"u8, thought ? "thinking"u8 : "text"u8);
            json.WriteLongString(thought ? "thinking"u8 : "text"u8, text.ToString());
            if (thought && signature is { ValueKind: JsonValueKind.String } signed) json.WriteAsItCame("signature", signed);
            else if (thought) json.WriteString("signature"u8, ""u8);
            json.WriteEndObject();
            text = default;
            thinking = null;
        }
    }
}
