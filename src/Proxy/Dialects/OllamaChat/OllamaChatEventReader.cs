using System.Text;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OllamaChat;

/// <summary>
/// Reads Ollama's lines, both of chat and of generate, and whole answers, which have the same form as a line. An answer without <c>"done":true</c> is
/// incomplete: when its engine dies, Ollama ends the stream without an error.
/// </summary>
internal sealed class OllamaChatEventReader : ObjectEventReader
{
    private TextPieces answer, reasoning;
    private bool started, roleSeen;
    private int calls;

    /// <summary>Reads a whole answer. False if the body is not one, or if it contains an error or lacks <c>"done":true</c>.</summary>
    public static bool ReadWhole(ReadOnlySpan<byte> body, List<ChatEvent> events)
    {
        var reader = new OllamaChatEventReader();
        reader.Read(body, events);
        return reader.End(events) && events is not [.., ChatEvent.Finished { Error: not null }];
    }

    public override bool End(List<ChatEvent> events, bool cleanly = true)
    {
        if (!Over) Flush(events);
        return Over;
    }

    // an error of Ollama's names no parameter
    protected override void Fail(HostError said, List<ChatEvent> events) => base.Fail(said with { Param = null }, events);

    protected override void ReadObject(ref Utf8JsonReader json, ReadOnlySpan<byte> frame, List<ChatEvent> events)
    {
        string? model = null;
        long? created = null;
        Utf8JsonReader message = default;
        bool speaks = false, done = false, generates = false;
        string response = "", thinking = "";
        ReadOnlySpan<byte> probabilities = default, word = default;
        var counts = new OllamaChatCounts();
        while (json.Read() && json.TokenType is JsonTokenType.PropertyName)
        {
            if (json.ValueTextEquals("message"u8))
            {
                speaks = json.ReadLater(JsonTokenType.StartObject, ref message);
            }
            else if (json.ValueTextEquals("response"u8))
            {
                generates = true;
                response = TakeText(ref json, ref answer);
            }
            else if (json.ValueTextEquals("thinking"u8))
            {
                thinking = TakeText(ref json, ref reasoning);
            }
            else if (json.ValueTextEquals("done"u8))
            {
                done = json.ReadIs(JsonTokenType.True);
            }
            else if (json.ValueTextEquals("error"u8))
            {
                json.Read();
                if (json.TokenType is JsonTokenType.Null) continue;
                Fail(HostErrorBody.Read(frame), events);
                return;
            }
            else if (json.ValueTextEquals("done_reason"u8))
            {
                word = json.ReadRaw(frame, JsonTokenType.String);
            }
            else if (json.ValueTextEquals("logprobs"u8))
            {
                probabilities = json.ReadRaw(frame, JsonTokenType.StartArray);
            }
            else if (!TryReadStart(ref json, ref model, ref created) && !counts.TryRead(ref json))
            {
                json.Skip();
            }
        }

        if (!started) events.Add(new ChatEvent.Started(null, model, created));
        started = true;
        if (probabilities.Length == 2) probabilities = default; // an empty list
        if (speaks) ReadMessage(ref message, frame, probabilities, events);
        else if (generates) Say(thinking, response, probabilities, events);
        if (done) Finish(word, counts.Usage, events);
    }

    /// <param name="word">The host's reason as JSON, empty if it gave none.</param>
    /// <param name="usage"></param>
    /// <param name="events"></param>
    private void Finish(ReadOnlySpan<byte> word, Usage? usage, List<ChatEvent> events)
    {
        Over = true;
        Flush(events);
        if (usage is not null) events.Add(new ChatEvent.UsageReported(usage));
        var isLength = word.SequenceEqual("\"length\""u8);
        var isOther = !isLength && word.Length > 2 && !word.SequenceEqual("\"stop\""u8);
        events.Add(new ChatEvent.Finished(isLength ? FinishReason.Length : calls > 0 ? FinishReason.ToolCalls : FinishReason.Stop)
        {
            Opaque = isOther ? WireJson.Opaque("done_reason"u8, word) : null,
        });
    }

    private bool TryReadStart(ref Utf8JsonReader json, ref string? model, ref long? created)
    {
        if (started) return false;
        var isModel = json.ValueTextEquals("model"u8);
        if (!isModel && !json.ValueTextEquals("created_at"u8)) return false;
        if (!json.ReadIs(JsonTokenType.String)) return true;
        if (isModel) model = json.GetString();
        else if (json.TryGetDateTimeOffset(out var time)) created = time.ToUnixTimeSeconds();
        return true;
    }

    private static string TakeText(ref Utf8JsonReader json, ref TextPieces pieces) => json.ReadIs(JsonTokenType.String) ? pieces.Take(ref json) : "";

    private void Flush(List<ChatEvent> events)
    {
        Say(reasoning.Flush(), TokenKind.Reasoning, default, events);
        Say(answer.Flush(), TokenKind.Answer, default, events);
    }

    private void ReadMessage(ref Utf8JsonReader json, ReadOnlySpan<byte> frame, ReadOnlySpan<byte> probabilities, List<ChatEvent> events)
    {
        string said = "", thought = "";
        Utf8JsonReader list = default;
        var called = false;
        while (json.Read() && json.TokenType is JsonTokenType.PropertyName)
        {
            if (json.ValueTextEquals("content"u8)) said = TakeText(ref json, ref answer);
            else if (json.ValueTextEquals("thinking"u8)) thought = TakeText(ref json, ref reasoning);
            else if (json.ValueTextEquals("tool_calls"u8)) called = json.ReadLater(JsonTokenType.StartArray, ref list);
            else if (!json.ValueTextEquals("role"u8)) json.Skip();
            else if (json.ReadIs(JsonTokenType.String) && !roleSeen) GiveRole(events);
        }

        Say(thought, said, probabilities, events);
        if (!called) return;
        while (list.Read() && list.TokenType is JsonTokenType.StartObject) ReadCall(ref list, frame, events);
    }

    private void Say(string thought, string said, ReadOnlySpan<byte> probabilities, List<ChatEvent> events)
    {
        if (!roleSeen) GiveRole(events); // generate has no role
        Say(thought, TokenKind.Reasoning, said.Length == 0 ? probabilities : default, events);
        Say(said, TokenKind.Answer, probabilities, events);
        if (said.Length == 0 && thought.Length == 0 && !probabilities.IsEmpty)
            events.Add(new ChatEvent.Token("") { Opaque = OllamaChatProbabilities.Read(probabilities) });
    }

    private void GiveRole(List<ChatEvent> events)
    {
        roleSeen = true;
        events.Add(new ChatEvent.RoleGiven(ChatRole.Assistant));
    }

    private static void Say(string text, TokenKind kind, ReadOnlySpan<byte> probabilities, List<ChatEvent> events)
    {
        if (text.Length == 0) return;
        events.Add(new ChatEvent.Token(text, kind) { Opaque = probabilities.IsEmpty ? null : OllamaChatProbabilities.Read(probabilities) });
    }

    /// <summary>Reads one call; calls always arrive complete. Hosts number them differently in <c>index</c>, so they are counted here.</summary>
    private void ReadCall(ref Utf8JsonReader json, ReadOnlySpan<byte> frame, List<ChatEvent> events)
    {
        string? id = null, name = null, arguments = null;
        while (json.Read() && json.TokenType is JsonTokenType.PropertyName)
        {
            if (json.ValueTextEquals("id"u8)) id = json.ReadText() ?? id;
            else if (!json.ValueTextEquals("function"u8)) json.Skip();
            else if (json.Enter(JsonTokenType.StartObject)) ReadFunction(ref json, frame, out name, out arguments);
        }

        // "{}": an empty string is not valid JSON for other clients
        events.Add(new ChatEvent.ToolCall(calls++, id, name, string.IsNullOrWhiteSpace(arguments) ? "{}" : arguments));
    }

    private static void ReadFunction(ref Utf8JsonReader json, ReadOnlySpan<byte> frame, out string? name, out string? arguments)
    {
        name = arguments = null;
        while (json.Read() && json.TokenType is JsonTokenType.PropertyName)
        {
            if (json.ValueTextEquals("name"u8))
            {
                if (json.ReadIs(JsonTokenType.String)) name = json.GetString();
            }
            else if (json.ValueTextEquals("arguments"u8))
            {
                json.Read();
                var start = (int)json.TokenStartIndex;
                var text = json.TokenType is JsonTokenType.String ? json.GetString() : null;
                json.Skip();
                arguments = json.TokenType is JsonTokenType.Null ? "{}" : text ?? Encoding.UTF8.GetString(frame[start..(int)json.BytesConsumed]);
            }
            else
            {
                json.Skip();
            }
        }
    }
}
