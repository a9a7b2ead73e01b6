using System.Buffers;
using System.Text;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OpenAiResponses;

/// <summary>
/// A response in its present state, made from the events of its stream so far: what the response's object said last, and the items as far as they have come.
/// </summary>
internal sealed class ResponseSnapshot
{
    private readonly SortedDictionary<int, Item> items = [];
    private JsonElement response;

    /// <summary>The object says itself how the response ended.</summary>
    public bool IsComplete { get; private set; }

    /// <summary>The response's id, as its stream says; null: nothing has come yet.</summary>
    public string? Id => OpenAiResponsesJson.Text(response, "id"u8);

    /// <summary>The host says that it has stored the response.</summary>
    public bool IsStored =>
        response.ValueKind is JsonValueKind.Object && response.TryGetProperty("store"u8, out var said) && said.ValueKind is JsonValueKind.True;

    /// <summary>The <c>sequence_number</c> of an event; null: it has none.</summary>
    public static long? SequenceOf(ReadOnlySpan<byte> payload) => Parsed(payload) is { ValueKind: JsonValueKind.Object } happened
        ? Number(happened, "sequence_number"u8)
        : null;

    /// <summary>Takes the payload of an event.</summary>
    public void See(ReadOnlySpan<byte> payload)
    {
        if (payload.IsEmpty || OpenAiResponsesFrames.IsDone(payload) || Parsed(payload) is not { ValueKind: JsonValueKind.Object } happened) return;
        var type = OpenAiResponsesJson.Text(happened, "type"u8) ?? "";
        if (happened.TryGetProperty("response"u8, out var whole) && whole.ValueKind is JsonValueKind.Object)
        {
            response = whole;
            IsComplete = type is "response.completed" or "response.incomplete" or "response.failed";
            return;
        }

        var place = Number(happened, "output_index"u8) ?? (items.Count == 0 ? 0 : items.Keys.Last());
        if (type is "response.output_item.added" or "response.output_item.done" && happened.TryGetProperty("item"u8, out var item))
            items[place] = new(item, type is "response.output_item.done");
        else if (items.GetValueOrDefault(place) is { IsDone: false } growing)
            growing.See(type, happened);
    }

    /// <summary>Takes a response that came as one document.</summary>
    public void SeeWhole(ReadOnlySpan<byte> document)
    {
        if (Parsed(document) is not { ValueKind: JsonValueKind.Object } whole) return;
        response = whole;
        IsComplete = true;
    }

    /// <summary>Writes the response object.</summary>
    /// <param name="stamp">The model's name, and what is written if nothing has come yet.</param>
    /// <param name="end">How it ended, or that it has not. Not used if the object says itself how it ended.</param>
    /// <param name="output">Gets the object.</param>
    public void Write(ReplyStamp stamp, ResponseEnd end, IBufferWriter<byte> output)
    {
        using var json = WireJson.NewWriter(output);
        if (response.ValueKind is not JsonValueKind.Object)
        {
            new ResponseEcho(stamp).Write(json, null, end, [], null, new ProxyNote(stamp));
            return;
        }

        json.WriteStartObject();
        foreach (var member in response.EnumerateObject()) WriteMember(json, member, stamp, end);
        if (!response.TryGetProperty("status"u8, out _)) json.WriteString("status"u8, IsComplete ? "completed" : end.Status);
        if (!response.TryGetProperty("output"u8, out _)) WriteOutput(json, end);
        json.WriteEndObject();
    }

    /// <summary>Writes the items of the output, separated by commas. Returns their number.</summary>
    /// <param name="output">Gets the items.</param>
    /// <param name="searches">False leaves out searches of documents, which hosts that did not make them do not know.</param>
    public int WriteOutput(IBufferWriter<byte> output, bool searches = true)
    {
        if (response.ValueKind is not JsonValueKind.Object || !response.TryGetProperty("output"u8, out var list) || list.ValueKind is not JsonValueKind.Array)
            return 0;
        var count = 0;
        foreach (var item in list.EnumerateArray())
        {
            if (!searches && OpenAiResponsesJson.Text(item, "type"u8) is "file_search_call") continue;
            if (count++ > 0) output.Write(","u8);
            using var json = WireJson.NewWriter(output);
            json.WriteAsItCame(item);
        }

        return count;
    }

    private void WriteMember(Utf8JsonWriter json, JsonProperty member, ReplyStamp stamp, ResponseEnd end)
    {
        switch (member.Name)
        {
            case "model":
                json.WriteString("model"u8, stamp.Model);
                break;
            case "background" when stamp.Terms is { } terms:
                json.WriteBoolean("background"u8, terms.IsBackground);
                break;
            case "store" when stamp.Terms is { } terms:
                json.WriteBoolean("store"u8, terms.IsStored);
                break;
            case "previous_response_id" when stamp.Terms is { } terms:
                json.WriteString("previous_response_id"u8, terms.Previous);
                break;
            case "status" when !IsComplete:
                json.WriteString("status"u8, end.Status);
                break;
            case "error" when !IsComplete && end.Error is not null:
                ResponseEcho.WriteError(json, end.Error);
                break;
            case "output" when !IsComplete:
                WriteOutput(json, end);
                break;
            default:
                json.WriteAsItCame(member.Name, member.Value);
                break;
        }
    }

    private void WriteOutput(Utf8JsonWriter json, ResponseEnd end)
    {
        json.WriteStartArray("output"u8);
        foreach (var item in items.Values) item.Write(json, end.Status is "in_progress" or "queued" ? "in_progress" : "incomplete");
        json.WriteEndArray();
    }

    private static JsonElement? Parsed(ReadOnlySpan<byte> json)
    {
        try
        {
            return WireJson.Parse(json);
        }
        catch (Exception problem) when (problem is JsonException or InvalidOperationException) // a host's malformed event says nothing
        {
            return null;
        }
    }

    private static int? Number(JsonElement value, ReadOnlySpan<byte> name) =>
        value.TryGetProperty(name, out var number) && number.ValueKind is JsonValueKind.Number && number.TryGetInt32(out var whole) ? whole : null;

    /// <summary>An item of the output. Until it is done, its texts are those of the deltas.</summary>
    private sealed class Item(JsonElement value, bool isDone)
    {
        private readonly SortedDictionary<(string List, int Index), (string Type, StringBuilder Text)> parts = [];
        private readonly StringBuilder arguments = new();

        public bool IsDone => isDone;

        public void See(string type, JsonElement happened)
        {
            if (OpenAiResponsesJson.Text(happened, "delta"u8) is not { } text) return;
            switch (type)
            {
                case "response.output_text.delta":
                    Add("content", "output_text");
                    break;
                case "response.refusal.delta":
                    Add("content", "refusal");
                    break;
                case "response.reasoning_text.delta":
                    Add("content", "reasoning_text");
                    break;
                case "response.reasoning_summary_text.delta":
                    Add("summary", "summary_text");
                    break;
                case "response.function_call_arguments.delta" or "response.custom_tool_call_input.delta":
                    arguments.Append(text);
                    break;
            }

            void Add(string list, string kind)
            {
                var index = Number(happened, list is "summary" ? "summary_index"u8 : "content_index"u8) ?? 0;
                if (!parts.TryGetValue((list, index), out var part)) parts[(list, index)] = part = (kind, new StringBuilder());
                part.Text.Append(text);
            }
        }

        public void Write(Utf8JsonWriter json, string status)
        {
            if (isDone)
            {
                json.WriteAsItCame(value);
                return;
            }

            json.WriteStartObject();
            foreach (var member in value.EnumerateObject())
            {
                if (member.Name is "status") json.WriteString("status"u8, status);
                else if (member.Name is "content" or "summary") WriteParts(json, member.Name);
                else if (member.Name is "arguments" or "input") json.WriteString(member.Name, arguments.ToString());
                else json.WriteAsItCame(member.Name, member.Value);
            }

            json.WriteEndObject();
        }

        private void WriteParts(Utf8JsonWriter json, string list)
        {
            json.WriteStartArray(list);
            foreach (var ((of, _), (type, text)) in parts)
            {
                if (of != list) continue;
                json.WriteStartObject();
                json.WriteString("type"u8, type);
                json.WriteString(type is "refusal" ? "refusal"u8 : "text"u8, text.ToString());
                if (type is "output_text")
                {
                    json.WriteList("annotations"u8);
                    json.WriteList("logprobs"u8);
                }

                json.WriteEndObject();
            }

            json.WriteEndArray();
        }
    }
}
