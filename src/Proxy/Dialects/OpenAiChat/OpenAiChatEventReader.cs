using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OpenAiChat;

/// <summary>
/// Reads the chunks of a chat completion, whole chat completions (which have <c>message</c> instead of <c>delta</c>), and text completions (which have
/// <c>text</c> instead). Usage and finish reasons are held back until <c>[DONE]</c>, so that <see cref="ChatEvent.Finished"/> comes last in whatever order the
/// host sends them.
/// </summary>
internal sealed class OpenAiChatEventReader : EventReader
{
    private readonly List<OpenAiChatChoice> choices = [];
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

    public override bool End(List<ChatEvent> events, bool cleanly = true)
    {
        if (over) return true;
        if (cleanly && choices.Count > 0 && choices.TrueForAll(static choice => choice.HasFinished))
        {
            Release(events);
            return true;
        }

        foreach (var choice in choices) choice.Flush(events);
        return false;
    }

    /// <summary>Reads a whole answer. False if the body is not one.</summary>
    public bool TryReadWhole(ReadOnlySpan<byte> body, List<ChatEvent> events)
    {
        ReadObject(body, events);
        if (over || choices.Count == 0) return false;
        Release(events);
        return true;
    }

    private void ReadObject(ReadOnlySpan<byte> frame, List<ChatEvent> events)
    {
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

        if (!rest.IsEmpty) Read(rest, events); // two objects in one frame
    }

    private void ReadMembers(ref Utf8JsonReader json, ReadOnlySpan<byte> frame, List<ChatEvent> events)
    {
        string? id = null, model = null;
        long? created = null;
        ReadOnlySpan<byte> fingerprint = default;
        Utf8JsonReader list = default;
        bool listed = false, told = false;
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
            else if (json.ValueTextEquals("message"u8))
            {
                told = OpenAiChatJson.ReadText(ref json) is not null;
            }
            else if (json.ValueTextEquals("timings"u8))
            {
                json.Read();
                ReadTimings(ref json);
            }
            else if (!started && json.ValueTextEquals("id"u8))
            {
                id = OpenAiChatJson.ReadText(ref json);
            }
            else if (!started && json.ValueTextEquals("model"u8))
            {
                model = OpenAiChatJson.ReadText(ref json);
            }
            else if (!started && json.ValueTextEquals("created"u8))
            {
                created = ReadSeconds(ref json);
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

        if (told && !listed) // an error that consists of a message alone
        {
            Fail(HostErrorBody.Read(frame), events);
            return;
        }

        JsonElement? opaque = started || fingerprint.IsEmpty ? null : WireJson.Opaque("system_fingerprint"u8, fingerprint);
        if (!started) events.Add(new ChatEvent.Started(id, model, created) { Opaque = opaque });
        started = true;
        if (!listed) return;
        while (list.Read() && list.TokenType is JsonTokenType.StartObject) ReadChoice(ref list, frame, events);
    }

    private void ReadChoice(ref Utf8JsonReader json, ReadOnlySpan<byte> frame, List<ChatEvent> events)
    {
        var number = 0;
        Utf8JsonReader said = default;
        ReadOnlySpan<byte> cumulative = default;
        bool speaks = false, continues = false;
        ReadOnlySpan<byte> probabilities = default;
        ReadOnlySpan<byte> sequence = default;
        FinishReason? reason = null;
        while (json.Read() && json.TokenType is JsonTokenType.PropertyName)
        {
            if (json.ValueTextEquals("delta"u8))
            {
                json.Read();
                speaks = json.TokenType is JsonTokenType.StartObject;
                if (speaks) said = json;
                json.Skip();
            }
            else if (json.ValueTextEquals("message"u8))
            {
                json.Read();
                var start = (int)json.TokenStartIndex;
                var some = json.TokenType is JsonTokenType.StartObject;
                json.Skip();
                if (some) cumulative = frame[start..(int)json.BytesConsumed];
            }
            else if (json.ValueTextEquals("text"u8))
            {
                json.Read();
                continues = json.TokenType is JsonTokenType.String;
                if (continues && !speaks) said = json;
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
            else if (json.ValueTextEquals("stop_reason"u8)) // vLLM: the stop sequence that matched
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
        choice.HasDeltas |= speaks;
        // Some hosts send, beside the deltas, a "message" with the whole text so far. It is read only if no delta has carried any content.
        if (!cumulative.IsEmpty && !(choice.HasDeltas && choice.Spoke)) ReadWhole(choice, cumulative, probabilities, events);
        else if (continues && !speaks) choice.ReadCompletion(ref said, probabilities, events);
        if (reason is { } ended) (choice.Reason, choice.HasFinished) = (ended, true);
        if (!sequence.IsEmpty) choice.Matched = WireJson.Opaque("stop_sequence"u8, sequence);
    }

    private static void ReadWhole(OpenAiChatChoice choice, ReadOnlySpan<byte> message, ReadOnlySpan<byte> probabilities, List<ChatEvent> events)
    {
        var json = new Utf8JsonReader(message, WireJson.Reading);
        json.Read();
        choice.ReadMessage(ref json, message, probabilities, events);
    }

    private OpenAiChatChoice ChoiceOf(int number)
    {
        foreach (var known in choices)
        {
            if (known.Number == number) return known;
        }

        var added = new OpenAiChatChoice(number);
        choices.Add(added);
        return added;
    }

    /// <summary>Reads llama.cpp's timings, which Ollama's clients expect.</summary>
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

    private static long? ReadSeconds(ref Utf8JsonReader json)
    {
        json.Read();
        if (json.TokenType is JsonTokenType.Number) return json.TryGetInt64(out var seconds) && seconds > 0 ? seconds : null;
        json.Skip();
        return null;
    }

    private static long? ReadNanoseconds(ref Utf8JsonReader json)
    {
        json.Read();
        if (json.TokenType is JsonTokenType.Number) return (long)(json.GetDouble() * 1_000_000);
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
        events.Add(new ChatEvent.Finished(FinishReason.Error, Error: new ProxyError(ProxyErrorKind.HostFailed, said.Message)
        {
            Code = said.Code,
            HostType = said.Type,
            Param = said.Param
        }));
    }
}
