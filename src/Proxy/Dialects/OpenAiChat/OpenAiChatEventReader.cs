using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OpenAiChat;

/// <summary>
/// Reads the chunks of a chat completion, whole chat completions (which have <c>message</c> instead of <c>delta</c>), and text completions (which have
/// <c>text</c> instead). Usage and finish reasons are held back until <c>[DONE]</c>, so that <see cref="ChatEvent.Finished"/> comes last in whatever order the
/// host sends them.
/// </summary>
internal sealed class OpenAiChatEventReader : ObjectEventReader
{
    private readonly List<OpenAiChatChoice> choices = [];
    private bool started;
    private Usage? usage;
    private long? promptTime, answerTime;

    public override void Read(ReadOnlySpan<byte> frame, List<ChatEvent> events)
    {
        if (!Over && OpenAiChatJson.IsDone(frame)) Release(events);
        else base.Read(frame, events);
    }

    public override bool End(List<ChatEvent> events, bool cleanly = true)
    {
        if (Over) return true;
        if (cleanly && choices.Count > 0 && choices.TrueForAll(static choice => choice.HasFinished))
        {
            Release(events);
            return true;
        }

        foreach (var choice in choices) choice.Flush(events);
        return false;
    }

    /// <summary>Reads a whole answer. False if the body is not one.</summary>
    public bool ReadWhole(ReadOnlySpan<byte> body, List<ChatEvent> events)
    {
        base.Read(body, events);
        if (Over || choices.Count == 0) return false;
        Release(events);
        return true;
    }

    protected override void ReadObject(ref Utf8JsonReader json, ReadOnlySpan<byte> frame, List<ChatEvent> events)
    {
        string? id = null, model = null;
        long? created = null;
        ReadOnlySpan<byte> fingerprint = default;
        Utf8JsonReader list = default;
        bool listed = false, told = false, failed = false;
        while (!failed && json.Read() && json.TokenType is JsonTokenType.PropertyName)
        {
            if (json.ValueTextEquals("choices"u8)) listed = json.ReadLater(JsonTokenType.StartArray, ref list);
            else if (json.ValueTextEquals("usage"u8)) usage = OpenAiChatJson.ReadUsage(ref json) ?? usage;
            else if (json.ValueTextEquals("error"u8)) failed = json.Read() && json.TokenType is not JsonTokenType.Null;
            else if (json.ValueTextEquals("object"u8)) failed = json.Read() && json.TokenType is JsonTokenType.String && json.ValueTextEquals("error"u8);
            else if (json.ValueTextEquals("message"u8)) told = json.ReadText() is not null;
            else if (json.ValueTextEquals("timings"u8)) ReadTimings(ref json);
            else if (started) json.Skip();
            else if (json.ValueTextEquals("id"u8)) id = json.ReadText();
            else if (json.ValueTextEquals("model"u8)) model = json.ReadText();
            else if (json.ValueTextEquals("created"u8)) created = ReadSeconds(ref json);
            else if (json.ValueTextEquals("system_fingerprint"u8)) fingerprint = json.ReadRaw(frame, JsonTokenType.String);
            else json.Skip();
        }

        if (failed || (told && !listed)) // an error may consist of a message alone
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
        bool speaks = false, continues = false;
        ReadOnlySpan<byte> cumulative = default, probabilities = default, sequence = default;
        FinishReason? reason = null;
        while (json.Read() && json.TokenType is JsonTokenType.PropertyName)
        {
            if (json.ValueTextEquals("delta"u8))
            {
                speaks = json.ReadLater(JsonTokenType.StartObject, ref said);
            }
            else if (json.ValueTextEquals("message"u8))
            {
                cumulative = json.ReadRaw(frame, JsonTokenType.StartObject);
            }
            else if (json.ValueTextEquals("text"u8))
            {
                continues = json.ReadIs(JsonTokenType.String);
                if (continues && !speaks) said = json;
            }
            else if (json.ValueTextEquals("index"u8))
            {
                number = json.ReadInt() ?? number;
            }
            else if (json.ValueTextEquals("finish_reason"u8))
            {
                if (json.ReadIs(JsonTokenType.String) && json.ValueSpan.Length > 0) reason = OpenAiChatJson.Reason(ref json);
            }
            else if (json.ValueTextEquals("stop_reason"u8)) // vLLM: the stop sequence that matched
            {
                sequence = json.ReadRaw(frame, JsonTokenType.String);
            }
            else if (json.ValueTextEquals("logprobs"u8))
            {
                probabilities = json.ReadRaw(frame, JsonTokenType.StartObject);
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
        if (!cumulative.IsEmpty && !(choice.HasDeltas && choice.Spoke))
        {
            said = WireJson.Open(cumulative);
            choice.ReadMessage(ref said, cumulative, probabilities, events);
        }
        else if (continues && !speaks) choice.ReadCompletion(ref said, probabilities, events);
        if (reason is { } ended) (choice.Reason, choice.HasFinished) = (ended, true);
        if (!sequence.IsEmpty) choice.Matched = WireJson.Opaque("stop_sequence"u8, sequence);
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
        if (!json.Enter(JsonTokenType.StartObject)) return;
        while (json.Read() && json.TokenType is JsonTokenType.PropertyName)
        {
            if (json.ValueTextEquals("prompt_ms"u8)) promptTime = ReadNanoseconds(ref json);
            else if (json.ValueTextEquals("predicted_ms"u8)) answerTime = ReadNanoseconds(ref json);
            else json.Skip();
        }
    }

    private static long? ReadSeconds(ref Utf8JsonReader json) =>
        json.ReadIs(JsonTokenType.Number) && json.TryGetInt64(out var seconds) && seconds > 0 ? seconds : null;

    private static long? ReadNanoseconds(ref Utf8JsonReader json) => json.ReadIs(JsonTokenType.Number) ? (long)(json.GetDouble() * 1_000_000) : null;

    private void Release(List<ChatEvent> events)
    {
        Over = true;
        foreach (var choice in choices) choice.Flush(events);
        if (usage is not null) events.Add(new ChatEvent.UsageReported(usage with { PromptEvalDuration = promptTime, EvalDuration = answerTime }));
        foreach (var choice in choices) events.Add(new ChatEvent.Finished(choice.Finish) { Choice = choice.Number, Opaque = choice.Matched });
    }
}
