using System.Text;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OpenAiChat;

/// <summary>
/// Reads chunks of a chat completion, and whole ones, which are the same but for <c>message</c> instead of <c>delta</c>; and completions of a prompt, which have a <c>text</c> there. Usage and the finish reasons are held back
/// until <c>[DONE]</c>, so that <see cref="ChatEvent.Finished"/> comes last whatever the host's order.
/// </summary>
internal sealed class OpenAiChatEventReader : EventReader
{
    private readonly List<Choice> choices = [];
    private bool started;
    private bool over;
    private Usage? usage;
    private long? promptTime, answerTime;

    public override void Read(ReadOnlySpan<byte> frame, List<ChatEvent> events)
    {
        if (over || frame.Trim(" \t\r\n"u8).IsEmpty) return;
        if (OpenAiChatJson.IsDone(frame))
        {
            Release(events);
            return;
        }

        ReadObject(frame, events);
    }

    public override bool End(List<ChatEvent> events)
    {
        if (over) return true;
        foreach (var choice in choices) choice.Flush(events);
        return false;
    }

    /// <summary>A whole answer; false when it is not one.</summary>
    public bool TryReadWhole(ReadOnlySpan<byte> body, List<ChatEvent> events)
    {
        ReadObject(body, events);
        if (over || choices.Count == 0) return false;
        Release(events);
        return true;
    }

    private void ReadObject(ReadOnlySpan<byte> frame, List<ChatEvent> events)
    {
        try
        {
            var json = new Utf8JsonReader(frame, WireJson.Reading);
            json.Read();
            if (json.TokenType is JsonTokenType.StartObject) ReadMembers(ref json, frame, events);
            else Fail(HostErrorBody.Read(frame), events);
        }
        catch (Exception problem) when (problem is JsonException or InvalidOperationException or FormatException) // how the reader says that it is no JSON
        {
            Fail(new HostError($"the host sent what is not JSON: {HostErrorBody.Read(frame).Message}"), events);
        }
    }

    private void ReadMembers(ref Utf8JsonReader json, ReadOnlySpan<byte> frame, List<ChatEvent> events)
    {
        string? id = null, model = null;
        long? created = null;
        ReadOnlySpan<byte> fingerprint = default;
        Utf8JsonReader list = default;
        var listed = false;
        while (json.Read() && json.TokenType is JsonTokenType.PropertyName)
        {
            if (json.ValueTextEquals("choices"u8))
            {
                json.Read();
                list = json;
                listed = json.TokenType is JsonTokenType.StartArray;
                json.Skip();
            }
            else if (json.ValueTextEquals("usage"u8))
            {
                json.Read();
                usage = OpenAiChatJson.ReadUsage(ref json) ?? usage;
            }
            else if (json.ValueTextEquals("error"u8))
            {
                json.Read();
                if (json.TokenType is JsonTokenType.Null) continue;
                Fail(HostErrorBody.Read(frame), events);
                return;
            }
            else if (json.ValueTextEquals("object"u8))
            {
                json.Read();
                if (json.TokenType is not JsonTokenType.String || !json.ValueTextEquals("error"u8)) continue;
                Fail(HostErrorBody.Read(frame), events);
                return;
            }
            else if (json.ValueTextEquals("timings"u8))
            {
                json.Read();
                ReadTimings(ref json);
            }
            else if (!started && json.ValueTextEquals("id"u8))
            {
                id = ReadText(ref json);
            }
            else if (!started && json.ValueTextEquals("model"u8))
            {
                model = ReadText(ref json);
            }
            else if (!started && json.ValueTextEquals("created"u8))
            {
                json.Read();
                if (json.TokenType is JsonTokenType.Number && json.TryGetInt64(out var seconds) && seconds > 0) created = seconds;
                json.Skip();
            }
            else if (!started && json.ValueTextEquals("system_fingerprint"u8))
            {
                json.Read();
                if (json.TokenType is JsonTokenType.String) fingerprint = frame[(int)json.TokenStartIndex..(int)json.BytesConsumed];
                json.Skip();
            }
            else
            {
                json.Skip();
            }
        }

        if (!started)
        {
            started = true;
            events.Add(new ChatEvent.Started(id, model, created) { Opaque = fingerprint.IsEmpty ? null : WireJson.Opaque("system_fingerprint"u8, fingerprint) });
        }

        if (!listed) return;
        while (list.Read() && list.TokenType is JsonTokenType.StartObject) ReadChoice(ref list, frame, events);
    }

    private void ReadChoice(ref Utf8JsonReader json, ReadOnlySpan<byte> frame, List<ChatEvent> events)
    {
        var number = 0;
        Utf8JsonReader said = default;
        bool speaks = false, continues = false;
        ReadOnlySpan<byte> probabilities = default;
        ReadOnlySpan<byte> sequence = default;
        FinishReason? reason = null;
        while (json.Read() && json.TokenType is JsonTokenType.PropertyName)
        {
            if (json.ValueTextEquals("delta"u8) || json.ValueTextEquals("message"u8))
            {
                json.Read();
                said = json;
                speaks = json.TokenType is JsonTokenType.StartObject;
                json.Skip();
            }
            else if (json.ValueTextEquals("text"u8))
            {
                json.Read();
                if (json.TokenType is JsonTokenType.String) said = json;
                continues = json.TokenType is JsonTokenType.String;
                json.Skip();
            }
            else if (json.ValueTextEquals("index"u8))
            {
                json.Read();
                if (json.TokenType is JsonTokenType.Number) json.TryGetInt32(out number);
                json.Skip();
            }
            else if (json.ValueTextEquals("finish_reason"u8))
            {
                json.Read();
                if (json.TokenType is JsonTokenType.String && json.ValueSpan.Length > 0) reason = OpenAiChatJson.Reason(ref json);
                json.Skip();
            }
            else if (json.ValueTextEquals("stop_reason"u8)) // vLLM's: the stop sequence that matched
            {
                json.Read();
                if (json.TokenType is JsonTokenType.String) sequence = frame[(int)json.TokenStartIndex..(int)json.BytesConsumed];
                json.Skip();
            }
            else if (json.ValueTextEquals("logprobs"u8))
            {
                json.Read();
                var start = (int)json.TokenStartIndex;
                var some = json.TokenType is JsonTokenType.StartObject;
                json.Skip();
                if (some) probabilities = frame[start..(int)json.BytesConsumed];
            }
            else
            {
                json.Skip();
            }
        }

        var choice = ChoiceOf(number);
        if (speaks) choice.ReadMessage(ref said, frame, probabilities, events);
        else if (continues) choice.ReadCompletion(ref said, probabilities, events);
        if (reason is { } ended) choice.Reason = ended;
        if (!sequence.IsEmpty) choice.Matched = WireJson.Opaque("stop_sequence"u8, sequence);
    }

    private Choice ChoiceOf(int number)
    {
        foreach (var known in choices)
        {
            if (known.Number == number) return known;
        }

        var added = new Choice(number);
        choices.Add(added);
        return added;
    }

    /// <summary>llama.cpp says how long it took, which Ollama's clients want to know.</summary>
    private void ReadTimings(ref Utf8JsonReader json)
    {
        if (json.TokenType is not JsonTokenType.StartObject)
        {
            json.Skip();
            return;
        }

        while (json.Read() && json.TokenType is JsonTokenType.PropertyName)
        {
            if (json.ValueTextEquals("prompt_ms"u8)) promptTime = ReadNanoseconds(ref json);
            else if (json.ValueTextEquals("predicted_ms"u8)) answerTime = ReadNanoseconds(ref json);
            else json.Skip();
        }
    }

    private static long? ReadNanoseconds(ref Utf8JsonReader json)
    {
        json.Read();
        if (json.TokenType is JsonTokenType.Number) return (long)(json.GetDouble() * 1_000_000);
        json.Skip();
        return null;
    }

    private static string? ReadText(ref Utf8JsonReader json)
    {
        json.Read();
        if (json.TokenType is JsonTokenType.String) return json.GetString() is { Length: > 0 } text ? text : null;
        json.Skip();
        return null;
    }

    private void Release(List<ChatEvent> events)
    {
        over = true;
        foreach (var choice in choices) choice.Flush(events);
        if (usage is not null) events.Add(new ChatEvent.UsageReported(usage with { PromptEvalDuration = promptTime, EvalDuration = answerTime }));
        foreach (var choice in choices) events.Add(new ChatEvent.Finished(choice.Finish) { Choice = choice.Number, Opaque = choice.Matched });
    }

    private void Fail(HostError said, List<ChatEvent> events)
    {
        over = true;
        events.Add(new ChatEvent.Finished(FinishReason.Error, Error: new ProxyError(ProxyErrorKind.HostFailed, said.Message) { Code = said.Code, HostType = said.Type, Param = said.Param }));
    }

    private sealed class Choice(int number)
    {
        private readonly List<Call> calls = [];
        private TextPieces answer, reasoning, refusal;
        private bool roleSeen;

        public int Number => number;
        public FinishReason Reason { get; set; } = FinishReason.Stop;

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
                    id = ReadText(ref json);
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
                    name = ReadText(ref json);
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
    }

    private sealed class Call(int index, int? hostIndex, string? id)
    {
        public TextPieces Pieces;

        public int Index => index;
        public int? HostIndex => hostIndex;
        public string? Id => id;
    }
}
