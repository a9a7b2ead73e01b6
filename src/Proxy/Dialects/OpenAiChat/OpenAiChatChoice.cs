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
                parts = json.ReadRaw(frame, JsonTokenType.StartArray);
                if (json.TokenType is JsonTokenType.String) said = answer.Take(ref json);
            }
            else if (json.ValueTextEquals("role"u8))
            {
                if (json.ReadIs(JsonTokenType.String) && !roleSeen) GiveRole(OpenAiChatJson.Role(json.GetString()), events);
            }
            else if (json.ValueTextEquals("reasoning_content"u8) || json.ValueTextEquals("reasoning"u8))
            {
                // a host that sends both members sends the same text twice
                if (!json.ReadIs(JsonTokenType.String) || json.ValueSpan.IsEmpty || thoughtSeen) continue;
                thoughtSeen = true;
                thought = reasoning.Take(ref json);
            }
            else if (json.ValueTextEquals("refusal"u8))
            {
                if (json.ReadIs(JsonTokenType.String)) refused = refusal.Take(ref json);
            }
            else if (json.ValueTextEquals("tool_calls"u8))
            {
                called = json.ReadLater(JsonTokenType.StartArray, ref list);
            }
            else if (json.ValueTextEquals("function_call"u8))
            {
                function = json.ReadRaw(frame, JsonTokenType.StartObject);
            }
            else if (json.ValueTextEquals("reasoning_details"u8))
            {
                details = json.ReadRaw(frame, JsonTokenType.StartArray);
            }
            else
            {
                json.Skip();
            }
        }

        var before = events.Count;
        thoughtTold |= thoughtSeen;
        Say(thought, TokenKind.Reasoning, said.Length == 0 ? probabilities : default, events);
        if (!details.IsEmpty && !thoughtTold) ReadDetails(WireJson.Open(details), events);
        if (!parts.IsEmpty) ReadParts(WireJson.Open(parts), probabilities, events);
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
        if (!roleSeen) GiveRole(ChatRole.Assistant, events);
        var said = answer.Take(ref json);
        var likely = probabilities.IsEmpty ? null : OpenAiTextProbabilities.Read(probabilities);
        if (said.Length > 0 || likely is not null) events.Add(new ChatEvent.Token(said) { Choice = number, Opaque = likely });
    }

    /// <summary>
    /// Reads content that is a list of parts, as Mistral's models send it: texts and thoughts in order. A thought may itself be such a list. A part of another
    /// kind becomes an event that names only its type.
    /// </summary>
    /// <param name="list">At the beginning of the list.</param>
    /// <param name="probabilities">They belong to the first text.</param>
    /// <param name="events"></param>
    /// <param name="inThought">True if all texts of the list are thoughts.</param>
    private void ReadParts(Utf8JsonReader list, ReadOnlySpan<byte> probabilities, List<ChatEvent> events, bool inThought = false)
    {
        while (list.Read() && list.TokenType is not JsonTokenType.EndArray)
        {
            if (list.TokenType is JsonTokenType.String)
            {
                SayPart(ref list, inThought, probabilities, events);
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
                SayPart(ref part.Text, inThought || part.Thinks, probabilities, events);
                probabilities = default;
            }
            else if (part.Text.TokenType is JsonTokenType.StartArray && !inThought)
            {
                ReadParts(part.Text, default, events, inThought: true);
            }
            else if (!part.Silent)
            {
                events.Add(new ChatEvent.Skipped(part.Type ?? "part") { Choice = number });
            }
        }
    }

    private void SayPart(ref Utf8JsonReader text, bool isThought, ReadOnlySpan<byte> probabilities, List<ChatEvent> events) => Say(
        isThought ? reasoning.Take(ref text) : answer.Take(ref text), isThought ? TokenKind.Reasoning : TokenKind.Answer, probabilities, events);

    /// <summary>Reads thoughts if they are only in <c>reasoning_details</c>. Encrypted details and signatures have no text and are skipped.</summary>
    private void ReadDetails(Utf8JsonReader list, List<ChatEvent> events)
    {
        while (list.Read() && list.TokenType is not JsonTokenType.EndArray)
        {
            if (list.TokenType is not JsonTokenType.StartObject)
            {
                list.Skip();
                continue;
            }

            var detail = OpenAiContentPart.Read(ref list);
            if (detail.Text.TokenType is JsonTokenType.String) SayPart(ref detail.Text, isThought: true, default, events);
        }
    }

    private void GiveRole(ChatRole? role, List<ChatEvent> events)
    {
        roleSeen = true;
        events.Add(new ChatEvent.RoleGiven(role ?? ChatRole.Assistant) { Choice = number });
    }

    private void Say(string text, TokenKind kind, ReadOnlySpan<byte> probabilities, List<ChatEvent> events)
    {
        if (text.Length == 0) return;
        events.Add(new ChatEvent.Token(text, kind) { Choice = number, Opaque = probabilities.IsEmpty ? null : WireJson.Opaque("logprobs"u8, probabilities) });
    }
}
