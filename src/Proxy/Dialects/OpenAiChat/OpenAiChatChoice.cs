using System.Text;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OpenAiChat;

/// <summary>The state of one choice while an answer is read: its texts, whose pieces may be cut inside a character, its calls and its finish reason.</summary>
internal sealed class OpenAiChatChoice(int number)
{
    private readonly OpenAiToolCalls calls = new(number);
    private TextPieces answer, reasoning, refusal;
    private bool roleSeen, thoughtTold;

    public int Number => number;
    public FinishReason Reason { get; set; } = FinishReason.Stop;

    /// <summary>True once the host has sent a finish reason.</summary>
    public bool HasFinished { get; set; }

    /// <summary>The stop sequence that ended the answer, as an opaque part.</summary>
    public JsonElement? Matched { get; set; }

    /// <summary>
    /// Corrects the finish reason. Some hosts say <c>stop</c> after a call, and their clients then never run the tool; others say <c>tool_calls</c> without a
    /// call, and their clients wait for one.
    /// </summary>
    public FinishReason Finish => Reason switch
    {
        FinishReason.Stop when calls.Any => FinishReason.ToolCalls,
        FinishReason.ToolCalls when !calls.Any => FinishReason.Stop,
        var said => said,
    };

    /// <summary>True once a <c>delta</c> has arrived. A later <c>message</c> then only repeats its content.</summary>
    public bool HasDeltas { get; set; }

    /// <summary>True once a text or a call has arrived.</summary>
    public bool Spoke { get; private set; }

    public void Flush(List<ChatEvent> events)
    {
        Say(reasoning.Flush(), TokenKind.Reasoning, default, events);
        Say(answer.Flush(), TokenKind.Answer, default, events);
        Say(refusal.Flush(), TokenKind.Refusal, default, events);
        calls.Flush(events);
    }

    public void ReadMessage(ref Utf8JsonReader json, ReadOnlySpan<byte> frame, ReadOnlySpan<byte> probabilities, List<ChatEvent> events)
    {
        string said = "", thought = "", refused = "";
        Utf8JsonReader list = default;
        // for members that few hosts send, only the position is kept: a span is smaller than a reader
        ReadOnlySpan<byte> function = default, parts = default, details = default;
        bool called = false, thoughtSeen = false;
        while (json.Read() && json.TokenType is JsonTokenType.PropertyName)
        {
            if (json.ValueTextEquals("content"u8))
            {
                json.Read();
                if (json.TokenType is JsonTokenType.String) said = answer.Take(ref json);
                else if (json.TokenType is JsonTokenType.StartArray) parts = Slice(ref json, frame);
                json.Skip();
            }
            else if (json.ValueTextEquals("role"u8))
            {
                json.Read();
                if (!roleSeen && json.TokenType is JsonTokenType.String)
                {
                    roleSeen = true;
                    events.Add(new ChatEvent.RoleGiven(OpenAiChatJson.Role(json.GetString()) ?? ChatRole.Assistant) { Choice = number });
                }

                json.Skip();
            }
            else if (json.ValueTextEquals("reasoning_content"u8) || json.ValueTextEquals("reasoning"u8))
            {
                json.Read();
                // a host that sends both members sends the same text twice
                if (!thoughtSeen && json.TokenType is JsonTokenType.String && json.ValueSpan.Length > 0)
                {
                    thoughtSeen = true;
                    thought = reasoning.Take(ref json);
                }

                json.Skip();
            }
            else if (json.ValueTextEquals("refusal"u8))
            {
                json.Read();
                if (json.TokenType is JsonTokenType.String) refused = refusal.Take(ref json);
                json.Skip();
            }
            else if (json.ValueTextEquals("tool_calls"u8))
            {
                json.Read();
                list = json;
                called = json.TokenType is JsonTokenType.StartArray;
                json.Skip();
            }
            else if (json.ValueTextEquals("function_call"u8))
            {
                json.Read();
                if (json.TokenType is JsonTokenType.StartObject) function = Slice(ref json, frame);
                json.Skip();
            }
            else if (json.ValueTextEquals("reasoning_details"u8))
            {
                json.Read();
                if (json.TokenType is JsonTokenType.StartArray) details = Slice(ref json, frame);
                json.Skip();
            }
            else
            {
                json.Skip();
            }
        }

        var before = events.Count;
        thoughtTold |= thoughtSeen;
        Say(thought, TokenKind.Reasoning, said.Length == 0 ? probabilities : default, events);
        if (!details.IsEmpty && !thoughtTold) ReadDetails(details, events);
        if (!parts.IsEmpty) ReadParts(parts, probabilities, events);
        Say(said, TokenKind.Answer, probabilities, events);
        Say(refused, TokenKind.Refusal, default, events);
        if (events.Count == before && probabilities.IndexOf("\"token\""u8) >= 0)
            events.Add(new ChatEvent.Token("") { Choice = number, Opaque = WireJson.Opaque("logprobs"u8, probabilities) });
        if (called) calls.ReadList(ref list, frame, events);
        if (!function.IsEmpty) calls.ReadLegacy(function, events);
        Spoke |= events.Count > before;
    }

    public void ReadCompletion(ref Utf8JsonReader json, ReadOnlySpan<byte> probabilities, List<ChatEvent> events)
    {
        if (!roleSeen) events.Add(new ChatEvent.RoleGiven(ChatRole.Assistant) { Choice = number });
        roleSeen = true;
        var said = answer.Take(ref json);
        var likely = probabilities.IsEmpty ? null : OpenAiTextProbabilities.Read(probabilities);
        if (said.Length > 0 || likely is not null) events.Add(new ChatEvent.Token(said) { Choice = number, Opaque = likely });
    }

    /// <summary>
    /// Reads content that is a list of parts, as Mistral's models send it: texts and thoughts in order. A part of another kind becomes an event that names only
    /// its type.
    /// </summary>
    private void ReadParts(ReadOnlySpan<byte> parts, ReadOnlySpan<byte> probabilities, List<ChatEvent> events)
    {
        var list = new Utf8JsonReader(parts, WireJson.Reading);
        list.Read();
        while (list.Read() && list.TokenType is not JsonTokenType.EndArray)
        {
            if (list.TokenType is JsonTokenType.String)
            {
                Say(answer.Take(ref list), TokenKind.Answer, probabilities, events);
                probabilities = default;
                continue;
            }

            if (list.TokenType is not JsonTokenType.StartObject)
            {
                list.Skip();
                continue;
            }

            var part = OpenAiContentPart.Read(ref list);
            if (part.Text.TokenType is JsonTokenType.String)
            {
                Say(part.Thinks ? reasoning.Take(ref part.Text) : answer.Take(ref part.Text), part.Thinks ? TokenKind.Reasoning : TokenKind.Answer,
                    probabilities, events);
                probabilities = default;
            }
            else if (part.Text.TokenType is JsonTokenType.StartArray)
            {
                ReadThoughts(ref part.Text, events);
            }
            else if (!part.Silent)
            {
                events.Add(new ChatEvent.Skipped(part.Type ?? "part") { Choice = number });
            }
        }
    }

    /// <summary>Reads the texts of a thought that is itself a list of parts.</summary>
    private void ReadThoughts(ref Utf8JsonReader list, List<ChatEvent> events)
    {
        while (list.Read() && list.TokenType is not JsonTokenType.EndArray)
        {
            if (list.TokenType is JsonTokenType.String)
            {
                Say(reasoning.Take(ref list), TokenKind.Reasoning, default, events);
                continue;
            }

            if (list.TokenType is not JsonTokenType.StartObject)
            {
                list.Skip();
                continue;
            }

            var part = OpenAiContentPart.Read(ref list);
            if (part.Text.TokenType is JsonTokenType.String) Say(reasoning.Take(ref part.Text), TokenKind.Reasoning, default, events);
            else if (!part.Silent) events.Add(new ChatEvent.Skipped(part.Type ?? "part") { Choice = number });
        }
    }

    /// <summary>Reads thoughts if they are only in <c>reasoning_details</c>. Encrypted details and signatures have no text and are skipped.</summary>
    private void ReadDetails(ReadOnlySpan<byte> details, List<ChatEvent> events)
    {
        var list = new Utf8JsonReader(details, WireJson.Reading);
        list.Read();
        while (list.Read() && list.TokenType is not JsonTokenType.EndArray)
        {
            if (list.TokenType is not JsonTokenType.StartObject)
            {
                list.Skip();
                continue;
            }

            var detail = OpenAiContentPart.Read(ref list);
            if (detail.Text.TokenType is JsonTokenType.String) Say(reasoning.Take(ref detail.Text), TokenKind.Reasoning, default, events);
        }
    }

    /// <summary>The bytes of the value at the reader's position.</summary>
    private static ReadOnlySpan<byte> Slice(scoped ref Utf8JsonReader json, ReadOnlySpan<byte> frame)
    {
        var start = (int)json.TokenStartIndex;
        json.Skip();
        return frame[start..(int)json.BytesConsumed];
    }

    private void Say(string text, TokenKind kind, ReadOnlySpan<byte> probabilities, List<ChatEvent> events)
    {
        if (text.Length == 0) return;
        events.Add(new ChatEvent.Token(text, kind) { Choice = number, Opaque = probabilities.IsEmpty ? null : WireJson.Opaque("logprobs"u8, probabilities) });
    }
}
