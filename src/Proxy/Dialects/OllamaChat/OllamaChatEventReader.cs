using System.Text;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OllamaChat;

/// <summary>
/// Reads Ollama's lines, both of chat and of generate, and whole answers, which have the same form as a line. An answer without <c>"done":true</c> is
/// incomplete: when its engine dies, Ollama ends the stream without an error.
/// </summary>
internal sealed class OllamaChatEventReader : EventReader
{
    private TextPieces answer, reasoning;
    private bool started, roleSeen, over;
    private int calls;

    /// <summary>Reads a whole answer. False if the body is not one, or if it contains an error or lacks <c>"done":true</c>.</summary>
    public static bool TryReadWhole(ReadOnlySpan<byte> body, List<ChatEvent> events)
    {
        var reader = new OllamaChatEventReader();
        var read = new List<ChatEvent>();
        reader.Read(body, read);
        if (!reader.End(read) || read is [.., ChatEvent.Finished { Error: not null }]) return false;
        events.AddRange(read);
        return true;
    }

    public override void Read(ReadOnlySpan<byte> frame, List<ChatEvent> events)
    {
        if (over || frame.Trim(" \t\r\n"u8).IsEmpty) return;
        ReadOnlySpan<byte> rest = default;
        try
        {
            var json = new Utf8JsonReader(frame, WireJson.Reading);
            json.Read();
            if (json.TokenType is JsonTokenType.StartObject) ReadMembers(ref json, frame, events);
            else Fail(HostErrorBody.Read(frame), events);
            rest = frame[(int)json.BytesConsumed..];
        }
        // Utf8JsonReader throws these for invalid JSON
        catch (Exception problem) when (problem is JsonException or InvalidOperationException or FormatException)
        {
            Fail(new HostError($"the host sent something that is not JSON: {HostErrorBody.Read(frame).Message}"), events);
        }

        if (!rest.IsEmpty) Read(rest, events); // two objects in one line
    }

    public override bool End(List<ChatEvent> events, bool cleanly = true)
    {
        if (!over) Flush(events);
        return over;
    }

    private void ReadMembers(ref Utf8JsonReader json, ReadOnlySpan<byte> frame, List<ChatEvent> events)
    {
        string? model = null;
        long? created = null;
        Utf8JsonReader message = default;
        bool speaks = false, done = false, generates = false;
        string response = "", thinking = "";
        ReadOnlySpan<byte> probabilities = default, word = default;
        var reason = FinishReason.Stop;
        var counts = new OllamaChatCounts();
        while (json.Read() && json.TokenType is JsonTokenType.PropertyName)
        {
            if (json.ValueTextEquals("message"u8))
            {
                json.Read();
                message = json;
                speaks = json.TokenType is JsonTokenType.StartObject;
                json.Skip();
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
                json.Read();
                done = json.TokenType is JsonTokenType.True;
                json.Skip();
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
                json.Read();
                if (json.TokenType is JsonTokenType.String && json.ValueTextEquals("length"u8)) reason = FinishReason.Length;
                else if (json.TokenType is JsonTokenType.String && json.ValueSpan.Length > 0 && !json.ValueTextEquals("stop"u8))
                    word = frame[(int)json.TokenStartIndex..(int)json.BytesConsumed];
                json.Skip();
            }
            else if (json.ValueTextEquals("logprobs"u8))
            {
                json.Read();
                var start = (int)json.TokenStartIndex;
                var some = json.TokenType is JsonTokenType.StartArray;
                json.Skip();
                if (some && json.BytesConsumed > start + 2) probabilities = frame[start..(int)json.BytesConsumed];
            }
            else if (!TryReadStart(ref json, ref model, ref created) && !counts.TryRead(ref json))
            {
                json.Skip();
            }
        }

        if (!started)
        {
            started = true;
            events.Add(new ChatEvent.Started(null, model, created));
        }

        if (speaks) ReadMessage(ref message, frame, probabilities, events);
        else if (generates) Say(thinking, response, probabilities, events);
        if (!done) return;

        over = true;
        Flush(events);
        if (counts.Usage is { } usage) events.Add(new ChatEvent.UsageReported(usage));
        events.Add(new ChatEvent.Finished(reason is FinishReason.Stop && calls > 0 ? FinishReason.ToolCalls : reason)
        {
            Opaque = word.IsEmpty ? null : WireJson.Opaque("done_reason"u8, word),
        });
    }

    private bool TryReadStart(ref Utf8JsonReader json, ref string? model, ref long? created)
    {
        if (started) return false;
        var isModel = json.ValueTextEquals("model"u8);
        if (!isModel && !json.ValueTextEquals("created_at"u8)) return false;
        json.Read();
        if (json.TokenType is not JsonTokenType.String) json.Skip();
        else if (isModel) model = json.GetString();
        else if (json.TryGetDateTimeOffset(out var time)) created = time.ToUnixTimeSeconds();
        return true;
    }

    private static string TakeText(ref Utf8JsonReader json, ref TextPieces pieces)
    {
        json.Read();
        if (json.TokenType is JsonTokenType.String) return pieces.Take(ref json);
        json.Skip();
        return "";
    }

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
            if (json.ValueTextEquals("content"u8))
            {
                said = TakeText(ref json, ref answer);
            }
            else if (json.ValueTextEquals("thinking"u8))
            {
                thought = TakeText(ref json, ref reasoning);
            }
            else if (json.ValueTextEquals("role"u8))
            {
                json.Read();
                if (!roleSeen && json.TokenType is JsonTokenType.String) GiveRole(events);
                json.Skip();
            }
            else if (json.ValueTextEquals("tool_calls"u8))
            {
                json.Read();
                list = json;
                called = json.TokenType is JsonTokenType.StartArray;
                json.Skip();
            }
            else
            {
                json.Skip();
            }
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
            if (json.ValueTextEquals("id"u8))
            {
                json.Read();
                if (json.TokenType is JsonTokenType.String && json.ValueSpan.Length > 0) id = json.GetString();
                json.Skip();
            }
            else if (json.ValueTextEquals("function"u8))
            {
                json.Read();
                if (json.TokenType is JsonTokenType.StartObject) ReadFunction(ref json, frame, out name, out arguments);
                else json.Skip();
            }
            else
            {
                json.Skip();
            }
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
                json.Read();
                if (json.TokenType is JsonTokenType.String) name = json.GetString();
                json.Skip();
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

    private void Fail(HostError said, List<ChatEvent> events)
    {
        over = true;
        events.Add(new ChatEvent.Finished(FinishReason.Error,
            Error: new ProxyError(ProxyErrorKind.HostFailed, said.Message) { Code = said.Code, HostType = said.Type }));
    }
}
