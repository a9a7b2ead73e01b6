using System.Text;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OpenAiChat;

/// <summary>One choice of an answer while it is read: its texts, whose pieces may be cut inside a character, its calls, and why it ended.</summary>
internal sealed class OpenAiChatChoice(int number)
{
    private readonly List<Call> calls = [];
    private TextPieces answer, reasoning, refusal;
    private bool roleSeen;

    public int Number => number;
    public FinishReason Reason { get; set; } = FinishReason.Stop;

    /// <summary>The host said why it ended.</summary>
    public bool HasFinished { get; set; }

    /// <summary>The stop sequence that ended it, in an opaque part.</summary>
    public JsonElement? Matched { get; set; }

    /// <summary>Hosts that stop after a call say <c>stop</c>; their clients then never run the tool.</summary>
    public FinishReason Finish => Reason is FinishReason.Stop && calls.Count > 0 ? FinishReason.ToolCalls : Reason;

    public void Flush(List<ChatEvent> events)
    {
        Say(reasoning.Flush(), TokenKind.Reasoning, default, events);
        Say(answer.Flush(), TokenKind.Answer, default, events);
        Say(refusal.Flush(), TokenKind.Refusal, default, events);
    }

    public void ReadMessage(ref Utf8JsonReader json, ReadOnlySpan<byte> frame, ReadOnlySpan<byte> probabilities, List<ChatEvent> events)
    {
        string said = "", thought = "", refused = "";
        Utf8JsonReader list = default;
        bool called = false, thoughtSeen = false;
        while (json.Read() && json.TokenType is JsonTokenType.PropertyName)
        {
            if (json.ValueTextEquals("content"u8))
            {
                json.Read();
                if (json.TokenType is JsonTokenType.String) said = answer.Take(ref json);
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
                if (!thoughtSeen && json.TokenType is JsonTokenType.String && json.ValueSpan.Length > 0) // both: the same text twice
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
            else
            {
                json.Skip();
            }
        }

        var before = events.Count;
        Say(thought, TokenKind.Reasoning, said.Length == 0 ? probabilities : default, events);
        Say(said, TokenKind.Answer, probabilities, events);
        Say(refused, TokenKind.Refusal, default, events);
        if (events.Count == before && probabilities.IndexOf("\"token\""u8) >= 0) events.Add(new ChatEvent.Token("") { Choice = number, Opaque = WireJson.Opaque("logprobs"u8, probabilities) });
        if (!called) return;
        while (list.Read() && list.TokenType is JsonTokenType.StartObject) ReadCall(ref list, frame, events);
    }

    public void ReadCompletion(ref Utf8JsonReader json, ReadOnlySpan<byte> probabilities, List<ChatEvent> events)
    {
        if (!roleSeen) events.Add(new ChatEvent.RoleGiven(ChatRole.Assistant) { Choice = number });
        roleSeen = true;
        var said = answer.Take(ref json);
        var likely = probabilities.IsEmpty ? null : OpenAiTextProbabilities.Read(probabilities);
        if (said.Length > 0 || likely is not null) events.Add(new ChatEvent.Token(said) { Choice = number, Opaque = likely });
    }

    private void Say(string text, TokenKind kind, ReadOnlySpan<byte> probabilities, List<ChatEvent> events)
    {
        if (text.Length == 0) return;
        events.Add(new ChatEvent.Token(text, kind) { Choice = number, Opaque = probabilities.IsEmpty ? null : WireJson.Opaque("logprobs"u8, probabilities) });
    }

    private void ReadCall(ref Utf8JsonReader json, ReadOnlySpan<byte> frame, List<ChatEvent> events)
    {
        int? index = null;
        string? id = null;
        Utf8JsonReader function = default;
        var named = false;
        while (json.Read() && json.TokenType is JsonTokenType.PropertyName)
        {
            if (json.ValueTextEquals("index"u8))
            {
                json.Read();
                if (json.TokenType is JsonTokenType.Number && json.TryGetInt32(out var given)) index = given;
                json.Skip();
            }
            else if (json.ValueTextEquals("id"u8))
            {
                id = OpenAiChatJson.ReadText(ref json);
            }
            else if (json.ValueTextEquals("function"u8))
            {
                json.Read();
                function = json;
                named = json.TokenType is JsonTokenType.StartObject;
                json.Skip();
            }
            else
            {
                json.Skip();
            }
        }

        if (named) ReadFunction(ref function, frame, index, id, events);
    }

    private void ReadFunction(ref Utf8JsonReader json, ReadOnlySpan<byte> frame, int? index, string? id, List<ChatEvent> events)
    {
        string? name = null;
        Utf8JsonReader written = default;
        while (json.Read() && json.TokenType is JsonTokenType.PropertyName)
        {
            if (json.ValueTextEquals("name"u8))
            {
                name = OpenAiChatJson.ReadText(ref json);
            }
            else if (json.ValueTextEquals("arguments"u8))
            {
                json.Read();
                written = json;
                json.Skip();
            }
            else
            {
                json.Skip();
            }
        }

        var call = CallOf(index, id, name, out var opened);
        var arguments = written.TokenType switch
        {
            JsonTokenType.String => call.Pieces.Take(ref written),
            JsonTokenType.StartObject => RawText(ref written, frame), // some hosts forget to make a text of it
            _ => "",
        };
        if (!opened && arguments.Length == 0) return;
        events.Add(new ChatEvent.ToolCall(call.Index, opened ? id : null, opened ? name : null, arguments.Length == 0 ? null : arguments) { Choice = number });
    }

    /// <summary>
    /// Pieces belong together by index. Hosts leave it out, or give every call the same: then a new id (without an index, also a name) opens a new call.
    /// </summary>
    private Call CallOf(int? index, string? id, string? name, out bool opened)
    {
        var known = index is null ? calls.LastOrDefault() : calls.FindLast(call => call.HostIndex == index);
        opened = known is null || (id is not null && known.Id is not null && id != known.Id) || (index is null && id is null && name is not null);
        if (!opened) return known!;
        var call = new Call(calls.Count, index, id);
        calls.Add(call);
        return call;
    }

    private static string RawText(ref Utf8JsonReader json, ReadOnlySpan<byte> frame)
    {
        var start = (int)json.TokenStartIndex;
        json.Skip();
        return Encoding.UTF8.GetString(frame[start..(int)json.BytesConsumed]);
    }

    private sealed class Call(int index, int? hostIndex, string? id)
    {
        public TextPieces Pieces;

        public int Index => index;
        public int? HostIndex => hostIndex;
        public string? Id => id;
    }
}
