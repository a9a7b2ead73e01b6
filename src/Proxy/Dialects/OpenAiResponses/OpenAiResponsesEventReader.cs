using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OpenAiResponses;

/// <summary>
/// Reads the events of a response, and whole responses. Hosts differ in what they stream: text without deltas is taken from the item when it is done, and an
/// item without events from the whole response at the end. Nothing is emitted twice: <see cref="OpenAiResponsesItems"/> recognises an item under whatever ids
/// the host gives it.
/// </summary>
internal sealed class OpenAiResponsesEventReader : EventReader
{
    private readonly OpenAiResponsesItems items = new();
    private bool started, over;
    private int calls;

    public override void Read(ReadOnlySpan<byte> frame, List<ChatEvent> events)
    {
        if (over || frame.Trim(" \t\r\n"u8).IsEmpty || OpenAiResponsesFrames.IsDone(frame)) return;
        try
        {
            var json = new Utf8JsonReader(frame, WireJson.Reading);
            var root = JsonElement.ParseValue(ref json);
            if (root.ValueKind is JsonValueKind.Object)
            {
                ReadEvent(root, frame, events);
                if (json.BytesConsumed < frame.Length) Read(frame[(int)json.BytesConsumed..], events); // two objects in one frame
                return;
            }
        }
        catch (Exception problem) when (problem is JsonException or InvalidOperationException) // JsonElement.ParseValue throws these for invalid JSON
        {
            Fail(new HostError($"the host sent something that is not JSON: {HostErrorBody.Read(frame).Message}"), events);
            return;
        }

        Fail(HostErrorBody.Read(frame), events);
    }

    public override bool End(List<ChatEvent> events, bool cleanly = true) => over;

    /// <summary>Reads a whole answer. False if the body is not one.</summary>
    public static bool ReadWhole(ReadOnlySpan<byte> body, List<ChatEvent> events)
    {
        if (!OpenAiResponsesFrames.IsWholeAnswer(body)) return false;
        var before = events.Count;
        try
        {
            var reader = new OpenAiResponsesEventReader();
            var response = WireJson.Parse(body);
            reader.Start(response, events);
            reader.Finish(response, events);
            return true;
        }
        catch (Exception problem) when (problem is JsonException or InvalidOperationException) // not JSON, or a text that is not Unicode
        {
            events.RemoveRange(before, events.Count - before);
            return false;
        }
    }

    private void ReadEvent(JsonElement root, ReadOnlySpan<byte> frame, List<ChatEvent> events)
    {
        var type = OpenAiResponsesJson.Text(root, "type"u8);
        switch (type)
        {
            case "response.created" or "response.in_progress":
                if (root.TryGetProperty("response"u8, out var begun)) Start(begun, events);
                break;
            case "response.output_item.added" when root.TryGetProperty("item"u8, out var added):
                Start(default, events);
                if (OpenAiResponsesItem.KindOf(added) is { } begins) Take(items.Begin(begins, PlaceOf(root), added), added, events, whole: false);
                break;
            case "response.output_item.done" when root.TryGetProperty("item"u8, out var done):
                Start(default, events);
                if (OpenAiResponsesItem.KindOf(done) is not { } ends) break;
                Take(items.Of(ends, PlaceOf(root), OpenAiResponsesJson.Text(done, "id"u8), OpenAiResponsesJson.Text(done, "call_id"u8)), done, events,
                    whole: true);
                break;
            case "response.output_text.delta":
                Say(ItemOf(root, ResponseItemKind.Message), root, TokenKind.Answer, events);
                break;
            case "response.refusal.delta":
                Say(ItemOf(root, ResponseItemKind.Message), root, TokenKind.Refusal, events);
                break;
            case "response.reasoning_text.delta" or "response.reasoning_summary_text.delta":
                var item = ItemOf(root, ResponseItemKind.Reasoning);
                item.ReasoningFrom ??= type;
                if (item.ReasoningFrom == type) Say(item, root, TokenKind.Reasoning, events); // some hosts send the same reasoning in both kinds of events
                break;
            case "response.output_text.done":
                TakeText(ItemOf(root, ResponseItemKind.Message), root, "text"u8, TokenKind.Answer, events);
                break;
            case "response.refusal.done":
                TakeText(ItemOf(root, ResponseItemKind.Message), root, "refusal"u8, TokenKind.Refusal, events);
                break;
            case "response.function_call_arguments.delta":
                Start(default, events);
                Argue(ItemOf(root, ResponseItemKind.FunctionCall), OpenAiResponsesJson.Text(root, "delta"u8), events);
                break;
            case "response.function_call_arguments.done":
                Start(default, events);
                TakeCall(ItemOf(root, ResponseItemKind.FunctionCall), root, events);
                break;
            case "response.completed" or "response.incomplete" when root.TryGetProperty("response"u8, out var response):
                Start(response, events);
                Finish(response, events);
                break;
            case "error" or "response.failed":
                Fail(OpenAiResponsesFrames.ReadError(frame), events);
                break;
            case null when root.TryGetProperty("error"u8, out var error) && error.ValueKind is not JsonValueKind.Null:
                Fail(HostErrorBody.Read(frame), events);
                break;
        }
    }

    private void Start(JsonElement response, List<ChatEvent> events)
    {
        if (started) return;
        started = true;
        long? created = response.ValueKind is JsonValueKind.Object && response.TryGetProperty("created_at"u8, out var at)
            && at.ValueKind is JsonValueKind.Number && at.TryGetDouble(out var seconds) && seconds > 0 ? (long)seconds : null;
        events.Add(new ChatEvent.Started(OpenAiResponsesJson.Text(response, "id"u8), OpenAiResponsesJson.Text(response, "model"u8), created));
        events.Add(new ChatEvent.RoleGiven(ChatRole.Assistant));
    }

    private OpenAiResponsesItem ItemOf(JsonElement root, ResponseItemKind kind) =>
        items.Of(kind, PlaceOf(root), OpenAiResponsesJson.Text(root, "item_id"u8), OpenAiResponsesJson.Text(root, "call_id"u8));

    private static int? PlaceOf(JsonElement root) => IndexIn(root, "output_index"u8);

    private static int? IndexIn(JsonElement root, ReadOnlySpan<byte> name) =>
        root.TryGetProperty(name, out var place) && place.ValueKind is JsonValueKind.Number && place.TryGetInt32(out var index) ? index : null;

    private void Say(OpenAiResponsesItem item, JsonElement root, TokenKind kind, List<ChatEvent> events)
    {
        Start(default, events);
        if (OpenAiResponsesJson.Text(root, "delta"u8) is not { Length: > 0 } text) return;
        item.Tell(IndexIn(root, "content_index"u8), text.Length);
        events.Add(new ChatEvent.Token(text, kind) { Opaque = Probabilities(root) });
    }

    /// <summary>Takes the complete text of a part. It is emitted only if no delta delivered it before.</summary>
    private void TakeText(OpenAiResponsesItem item, JsonElement root, ReadOnlySpan<byte> name, TokenKind kind, List<ChatEvent> events)
    {
        var part = IndexIn(root, "content_index"u8) ?? 0;
        if (OpenAiResponsesJson.Text(root, name) is not { } text || item.ToldLength >= text.Length || item.HasTold(part)) return;
        Start(default, events);
        item.Tell(part, text.Length);
        events.Add(new ChatEvent.Token(text, kind) { Opaque = Probabilities(root) });
    }

    /// <summary>Appends to a call's arguments. A call without a name is held until its name arrives.</summary>
    private void Argue(OpenAiResponsesItem item, string? piece, List<ChatEvent> events)
    {
        if (!string.IsNullOrEmpty(piece)) item.Arguments.Append(piece);
        if (item.Call is { } call)
        {
            if (!string.IsNullOrEmpty(piece)) events.Add(new ChatEvent.ToolCall(call, null, null, piece));
        }
        else if (item.Name is not null)
        {
            Announce(item, events);
        }
    }

    private void Announce(OpenAiResponsesItem item, List<ChatEvent> events)
    {
        item.Call = calls++;
        events.Add(new ChatEvent.ToolCall(item.Call.Value, item.CallId, item.Name, item.Arguments.Length == 0 ? null : item.Arguments.ToString()));
    }

    /// <summary>Takes an item at its start or complete, and emits the content that has not been emitted yet.</summary>
    private void Take(OpenAiResponsesItem item, JsonElement value, List<ChatEvent> events, bool whole)
    {
        item.Done |= whole;
        switch (item.Kind)
        {
            case ResponseItemKind.FunctionCall:
                TakeCall(item, value, events, whole);
                break;
            case ResponseItemKind.Message when whole:
                TakeParts(item, value, "content"u8, events, static type => type is "refusal" ? TokenKind.Refusal : TokenKind.Answer);
                break;
            case ResponseItemKind.Reasoning when whole && !item.Told:
                if (!TakeParts(item, value, "content"u8, events, static _ => TokenKind.Reasoning))
                    TakeParts(item, value, "summary"u8, events, static _ => TokenKind.Reasoning);
                break;
        }
    }

    private void TakeCall(OpenAiResponsesItem item, JsonElement value, List<ChatEvent> events, bool whole = true)
    {
        var lateId = item.CallId is null && OpenAiResponsesJson.Text(value, "call_id"u8) is { Length: > 0 } id ? id : null;
        item.CallId ??= lateId;
        if (OpenAiResponsesJson.Text(value, "name"u8) is { Length: > 0 } name) item.Name ??= name;
        if (item.Call is null && item.Name is not null) Announce(item, events);
        else if (item.Call is { } call && lateId is not null) events.Add(new ChatEvent.ToolCall(call, lateId, null, null));
        if (!whole || OpenAiResponsesJson.Text(value, "arguments"u8) is not { } arguments) return;
        var told = item.Arguments.ToString();
        if (arguments.Length > told.Length && arguments.StartsWith(told, StringComparison.Ordinal)) Argue(item, arguments[told.Length..], events);
    }

    /// <summary>
    /// Emits the parts that no delta delivered. Some hosts number their parts wrongly, so nothing is emitted if the total length already emitted covers all
    /// parts.
    /// </summary>
    private static bool TakeParts(OpenAiResponsesItem item, JsonElement value, ReadOnlySpan<byte> name, List<ChatEvent> events, Func<string?, TokenKind> kindOf)
    {
        if (!value.TryGetProperty(name, out var parts) || parts.ValueKind is not JsonValueKind.Array) return false;
        var length = 0;
        foreach (var part in parts.EnumerateArray()) length += TextOf(part)?.Length ?? 0;
        if (length == 0 || item.ToldLength >= length) return false;

        var number = 0;
        foreach (var part in parts.EnumerateArray())
        {
            if (TextOf(part) is { Length: > 0 } text && !item.HasTold(number))
            {
                item.Tell(number, text.Length);
                events.Add(new ChatEvent.Token(text, kindOf(OpenAiResponsesJson.Text(part, "type"u8))) { Opaque = Probabilities(part) });
            }

            number++;
        }

        return true;

        static string? TextOf(JsonElement part) => OpenAiResponsesJson.Text(part, "text"u8) ?? OpenAiResponsesJson.Text(part, "refusal"u8);
    }

    private void Finish(JsonElement response, List<ChatEvent> events)
    {
        over = true;
        if (response.TryGetProperty("output"u8, out var output) && output.ValueKind is JsonValueKind.Array)
        {
            ResponseItemKind?[] kinds = [.. output.EnumerateArray().Select(OpenAiResponsesItem.KindOf)];
            for (var place = 0; place < kinds.Length; place++)
            {
                if (kinds[place] is { } kind)
                    Take(items.InSnapshot(kind, place, output[place], kinds.AsSpan(place).Count(kind)), output[place], events, whole: true);
            }
        }

        foreach (var item in items.Nameless) Announce(item, events); // the model made the call, so the client has to see it

        if (response.TryGetProperty("usage"u8, out var counts) && OpenAiResponsesJson.ReadUsage(counts) is { } usage)
            events.Add(new ChatEvent.UsageReported(usage));
        var why = response.TryGetProperty("incomplete_details"u8, out var details) ? OpenAiResponsesJson.Text(details, "reason"u8) : null;
        events.Add(new ChatEvent.Finished(
            why is "content_filter" ? FinishReason.ContentFilter
            : why is not null || OpenAiResponsesJson.Text(response, "status"u8) is "incomplete" ? FinishReason.Length
            : calls > 0 ? FinishReason.ToolCalls
            : FinishReason.Stop));
    }

    private void Fail(HostError error, List<ChatEvent> events)
    {
        over = true;
        events.Add(new ChatEvent.Finished(FinishReason.Error,
            Error: new ProxyError(ProxyErrorKind.HostFailed, error.Message) { Code = error.Code is "context_length_exceeded" ? error.Code : null }));
    }

    /// <summary>
    /// Wraps this dialect's list of log probabilities in the object that Chat Completions uses: the form in which all dialects exchange them.
    /// </summary>
    private static JsonElement? Probabilities(JsonElement value) =>
        value.TryGetProperty("logprobs"u8, out var list) && list.ValueKind is JsonValueKind.Array && list.GetArrayLength() > 0
            ? WireJson.Parse(System.Text.Encoding.UTF8.GetBytes($$$"""{"logprobs":{"content":{{{list.GetRawText()}}},"refusal":null}}"""))
            : null;
}
