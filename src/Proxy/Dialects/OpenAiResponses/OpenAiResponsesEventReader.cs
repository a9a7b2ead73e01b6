using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OpenAiResponses;

/// <summary>
/// Reads the events of a response, and whole responses. Hosts differ in how much they tell in pieces: what no delta told is taken from the item when it is done, and what no item told from the whole response at the end.
/// Items are known by id, for not every host counts its indexes right.
/// </summary>
internal sealed class OpenAiResponsesEventReader : EventReader
{
    private readonly List<Item> items = [];
    private bool started, over;
    private int calls;

    public override void Read(ReadOnlySpan<byte> frame, List<ChatEvent> events)
    {
        if (over || frame.Trim(" \t\r\n"u8).IsEmpty || OpenAiResponsesFrames.IsDone(frame)) return;
        JsonElement root;
        try
        {
            root = WireJson.Parse(frame);
            if (root.ValueKind is JsonValueKind.Object)
            {
                ReadEvent(root, frame, events);
                return;
            }
        }
        catch (Exception problem) when (problem is JsonException or InvalidOperationException) // how the reader says that it is no JSON
        {
            Fail(new HostError($"the host sent what is not JSON: {HostErrorBody.Read(frame).Message}"), events);
            return;
        }

        Fail(HostErrorBody.Read(frame), events);
    }

    public override bool End(List<ChatEvent> events, bool cleanly = true) => over;

    /// <summary>A whole answer; false when it is not one.</summary>
    public static bool TryReadWhole(ReadOnlySpan<byte> body, List<ChatEvent> events)
    {
        if (!OpenAiResponsesFrames.IsWholeAnswer(body)) return false;
        var reader = new OpenAiResponsesEventReader();
        var response = WireJson.Parse(body);
        reader.Start(response, events);
        reader.Finish(response, events);
        return true;
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
                Take(added, events, whole: false);
                break;
            case "response.output_item.done" when root.TryGetProperty("item"u8, out var done):
                Start(default, events);
                Take(done, events, whole: true);
                break;
            case "response.output_text.delta":
                Say(root, TokenKind.Answer, events);
                break;
            case "response.refusal.delta":
                Say(root, TokenKind.Refusal, events);
                break;
            case "response.reasoning_text.delta" or "response.reasoning_summary_text.delta":
                var item = ItemOf(OpenAiResponsesJson.Text(root, "item_id"u8));
                item.ReasoningFrom ??= type;
                if (item.ReasoningFrom == type) Say(root, TokenKind.Reasoning, events); // the same thoughts, told twice
                break;
            case "response.function_call_arguments.delta":
                Argue(ItemOf(OpenAiResponsesJson.Text(root, "item_id"u8)), OpenAiResponsesJson.Text(root, "delta"u8), events);
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
        long? created = response.ValueKind is JsonValueKind.Object && response.TryGetProperty("created_at"u8, out var at) && at.ValueKind is JsonValueKind.Number && at.TryGetDouble(out var seconds) && seconds > 0 ? (long)seconds : null;
        events.Add(new ChatEvent.Started(OpenAiResponsesJson.Text(response, "id"u8), OpenAiResponsesJson.Text(response, "model"u8), created));
        events.Add(new ChatEvent.RoleGiven(ChatRole.Assistant));
    }

    private void Say(JsonElement root, TokenKind kind, List<ChatEvent> events)
    {
        Start(default, events);
        var item = ItemOf(OpenAiResponsesJson.Text(root, "item_id"u8));
        item.Told = true;
        if (OpenAiResponsesJson.Text(root, "delta"u8) is not { Length: > 0 } text) return;
        events.Add(new ChatEvent.Token(text, kind) { Opaque = Probabilities(root) });
    }

    private static void Argue(Item item, string? piece, List<ChatEvent> events)
    {
        item.Told = true;
        if (item.Call is { } call && !string.IsNullOrEmpty(piece)) events.Add(new ChatEvent.ToolCall(call, null, null, piece));
    }

    /// <summary>An item that begins, or is there whole: what has not been told of it yet.</summary>
    private void Take(JsonElement value, List<ChatEvent> events, bool whole)
    {
        var item = ItemOf(OpenAiResponsesJson.Text(value, "id"u8) ?? OpenAiResponsesJson.Text(value, "call_id"u8));
        switch (OpenAiResponsesJson.Text(value, "type"u8))
        {
            case "function_call":
                if (item.Call is null)
                {
                    item.Call = calls++;
                    events.Add(new ChatEvent.ToolCall(item.Call.Value, OpenAiResponsesJson.Text(value, "call_id"u8), OpenAiResponsesJson.Text(value, "name"u8), null));
                }

                if (whole && !item.Told) Argue(item, OpenAiResponsesJson.Text(value, "arguments"u8), events);
                break;
            case "message" when whole && !item.Told:
                item.Told = true;
                TakeParts(value, "content"u8, events, static type => type is "refusal" ? TokenKind.Refusal : TokenKind.Answer);
                break;
            case "reasoning" when whole && !item.Told:
                item.Told = true;
                if (!TakeParts(value, "content"u8, events, static _ => TokenKind.Reasoning)) TakeParts(value, "summary"u8, events, static _ => TokenKind.Reasoning);
                break;
        }
    }

    private static bool TakeParts(JsonElement item, ReadOnlySpan<byte> name, List<ChatEvent> events, Func<string?, TokenKind> kindOf)
    {
        var any = false;
        if (!item.TryGetProperty(name, out var parts) || parts.ValueKind is not JsonValueKind.Array) return false;
        foreach (var part in parts.EnumerateArray())
        {
            if ((OpenAiResponsesJson.Text(part, "text"u8) ?? OpenAiResponsesJson.Text(part, "refusal"u8)) is not { Length: > 0 } text) continue;
            events.Add(new ChatEvent.Token(text, kindOf(OpenAiResponsesJson.Text(part, "type"u8))) { Opaque = Probabilities(part) });
            any = true;
        }

        return any;
    }

    private void Finish(JsonElement response, List<ChatEvent> events)
    {
        over = true;
        if (response.TryGetProperty("output"u8, out var output) && output.ValueKind is JsonValueKind.Array)
        {
            foreach (var item in output.EnumerateArray()) Take(item, events, whole: true);
        }

        if (response.TryGetProperty("usage"u8, out var counts) && OpenAiResponsesJson.ReadUsage(counts) is { } usage) events.Add(new ChatEvent.UsageReported(usage));
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
        events.Add(new ChatEvent.Finished(FinishReason.Error, Error: new ProxyError(ProxyErrorKind.HostFailed, error.Message) { Code = error.Code is "context_length_exceeded" ? error.Code : null }));
    }

    /// <summary>The list of this dialect as chat's object, in which form every dialect knows it.</summary>
    private static JsonElement? Probabilities(JsonElement value) =>
        value.TryGetProperty("logprobs"u8, out var list) && list.ValueKind is JsonValueKind.Array && list.GetArrayLength() > 0
            ? WireJson.Parse(System.Text.Encoding.UTF8.GetBytes($$$"""{"logprobs":{"content":{{{list.GetRawText()}}},"refusal":null}}"""))
            : null;

    private Item ItemOf(string? id)
    {
        foreach (var known in items)
        {
            if (known.Id == id) return known;
        }

        var added = new Item(id);
        items.Add(added);
        return added;
    }

    private sealed class Item(string? id)
    {
        public string? Id => id;

        /// <summary>Its text or arguments came in pieces, or whole.</summary>
        public bool Told { get; set; }

        /// <summary>The call's number.</summary>
        public int? Call { get; set; }

        /// <summary>Which of the two kinds of events tell its thoughts.</summary>
        public string? ReasoningFrom { get; set; }
    }
}
