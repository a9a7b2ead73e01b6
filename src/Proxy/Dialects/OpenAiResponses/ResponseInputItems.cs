using System.Buffers;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OpenAiResponses;

/// <summary>The items of a request's <c>input</c>, in the form in which they are listed and continued. A text is one message.</summary>
internal sealed class ResponseInputItems
{
    private readonly List<(string Id, JsonElement Item)> items = [];
    private readonly JsonElement text;

    /// <param name="body">The request, which is valid.</param>
    /// <param name="earlier">The number of items of the earlier conversation, which are not listed.</param>
    /// <param name="traceId">The call's id, of which ids are made for items that have none.</param>
    public ResponseInputItems(ReadOnlySpan<byte> body, int earlier, string traceId)
    {
        var root = WireJson.Parse(body);
        if (!root.TryGetProperty("input"u8, out var input)) return;
        if (input.ValueKind is JsonValueKind.String)
        {
            text = input;
            items.Add((IdOf("msg", traceId, 0), default));
            return;
        }

        if (input.ValueKind is not JsonValueKind.Array) return;
        var number = 0;
        foreach (var item in input.EnumerateArray())
        {
            if (number++ < earlier) continue;
            items.Add((OpenAiResponsesJson.Text(item, "id"u8) ?? IdOf(Prefix(TypeOf(item)), traceId, number - 1), item));
        }
    }

    /// <summary>Writes a page of the list, as OpenAI does.</summary>
    /// <param name="newestFirst">Begin with the last item.</param>
    /// <param name="limit">The most items of a page.</param>
    /// <param name="after">The id after which the page begins; null: at the beginning.</param>
    /// <param name="output">Gets the page.</param>
    public ProxyError? Write(bool newestFirst, int limit, string? after, IBufferWriter<byte> output)
    {
        List<(string Id, JsonElement Item)> listed = [.. items];
        if (newestFirst) listed.Reverse();
        var from = after is null ? 0 : listed.FindIndex(item => item.Id == after) + 1;
        if (after is not null && from == 0) return new(ProxyErrorKind.InvalidRequest, "no input item has the id that \"after\" names") { Param = "after" };
        var page = listed.GetRange(from, Math.Min(limit, listed.Count - from));
        using var json = WireJson.NewWriter(output);
        json.WriteStartObject();
        json.WriteString("object"u8, "list"u8);
        json.WriteStartArray("data"u8);
        foreach (var (id, item) in page) WriteItem(json, id, item);
        json.WriteEndArray();
        json.WriteString("first_id"u8, page.Count > 0 ? page[0].Id : null);
        json.WriteString("last_id"u8, page.Count > 0 ? page[^1].Id : null);
        json.WriteBoolean("has_more"u8, from + page.Count < listed.Count);
        json.WriteEndObject();
        return null;
    }

    /// <summary>Writes the request's items as they came, separated by commas. Returns their number.</summary>
    public int WriteAsTheyCame(IBufferWriter<byte> output)
    {
        for (var i = 0; i < items.Count; i++)
        {
            if (i > 0) output.Write(","u8);
            using var json = WireJson.NewWriter(output);
            if (items[i].Item.ValueKind is JsonValueKind.Undefined)
            {
                json.WriteStartObject();
                json.WriteString("role"u8, "user"u8);
                json.WriteAsItCame("content", text);
                json.WriteEndObject();
            }
            else
            {
                json.WriteAsItCame(items[i].Item);
            }
        }

        return items.Count;
    }

    private void WriteItem(Utf8JsonWriter json, string id, JsonElement item)
    {
        var isText = item.ValueKind is JsonValueKind.Undefined;
        json.WriteStartObject();
        json.WriteString("id"u8, id);
        json.WriteString("type"u8, isText ? "message" : TypeOf(item));
        if (isText)
        {
            json.WriteString("role"u8, "user"u8);
            WriteText(json, text, "input_text"u8);
        }
        else
        {
            foreach (var member in item.EnumerateObject())
            {
                if (member.Name is "id" or "type") continue;
                if (member.Name is "content" && member.Value.ValueKind is JsonValueKind.String)
                    WriteText(json, member.Value, OpenAiResponsesJson.Text(item, "role"u8) is "assistant" ? "output_text"u8 : "input_text"u8);
                else json.WriteAsItCame(member.Name, member.Value);
            }
        }

        if (isText || !item.TryGetProperty("status"u8, out _)) json.WriteString("status"u8, "completed"u8);
        json.WriteEndObject();
    }

    private static void WriteText(Utf8JsonWriter json, JsonElement content, ReadOnlySpan<byte> type)
    {
        json.WriteStartArray("content"u8);
        json.WriteStartOfType(type);
        json.WriteAsItCame("text", content);
        if (type.SequenceEqual("output_text"u8)) json.WriteList("annotations"u8);
        json.WriteEndObject();
        json.WriteEndArray();
    }

    private static string TypeOf(JsonElement item) => OpenAiResponsesJson.Text(item, "type"u8) ?? "message";

    private static string Prefix(string type) => type switch
    {
        "message" => "msg",
        "reasoning" => "rs",
        "function_call" => "fc",
        "custom_tool_call" => "ctc",
        _ => "item",
    };

    private static string IdOf(string prefix, string traceId, int number) =>
        string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{prefix}_in_{traceId}{number}");
}
