using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OpenAiResponses;

/// <summary>
/// Reads and writes a conversation as items. One assistant turn (reasoning, text, calls) is several items here and one message elsewhere. The instructions and
/// all leading system or developer messages are joined into one message, because most models' chat templates accept only one.
/// </summary>
internal sealed class OpenAiResponsesInput(RequestFields fields)
{
    private readonly List<ChatMessage> messages = [];
    private readonly List<string> leading = [];
    private readonly List<string> thoughts = [];
    private readonly List<ToolInvocation> calls = [];
    private ChatMessage? turn;

    /// <summary>True if the messages hold everything that the input says to a host of this dialect.</summary>
    public bool IsHeld { get; private set; } = true;

    public IReadOnlyList<ChatMessage> Read(JsonElement input, string? instructions)
    {
        if (!string.IsNullOrEmpty(instructions)) leading.Add(instructions);
        if (input.ValueKind is JsonValueKind.String)
        {
            Add(new ChatMessage(ChatRole.User, [new ContentPart.Text(input.GetString()!)]));
        }
        else if (fields.IsList(input, "input"))
        {
            var number = 0;
            foreach (var item in input.EnumerateArray())
            {
                var path = $"input[{number++}]";
                if (fields.IsObject(item, path)) ReadItem(item, path);
                if (fields.Problem is not null) break;
            }
        }

        EndTurn();
        if (leading.Count > 0 && !messages.Exists(static message => message.Role is not ChatRole.System)) messages.Insert(0, Leading());
        return messages;
    }

    private void ReadItem(JsonElement item, string path)
    {
        var type = OpenAiResponsesJson.Text(item, "type"u8)
            ?? (item.TryGetProperty("role"u8, out _) ? "message" : item.TryGetProperty("id"u8, out _) ? "item_reference" : "");
        IsHeld &= OpenAiResponsesSpelling.IsHeld(item);
        switch (type)
        {
            case "message":
                ReadMessage(item, path);
                break;
            case "reasoning":
                if (turn is not null && (turn.Content.Count > 0 || calls.Count > 0)) EndTurn();
                if (ReasoningOf(item) is not { } reasoning) break;
                turn ??= NewTurn();
                thoughts.Add(reasoning);
                break;
            case "function_call":
                Call(item, path, OpenAiResponsesJson.Text(item, "arguments"u8) ?? "", takesText: false);
                break;
            case "custom_tool_call":
                Call(item, path, CustomTool.Arguments(OpenAiResponsesJson.Text(item, "input"u8) ?? ""), takesText: true);
                break;
            case "function_call_output" or "custom_tool_call_output":
                EndTurn();
                var answered = Required(item, "call_id"u8, $"{path}.call_id");
                item.TryGetProperty("output"u8, out var result);
                Add(new ChatMessage(ChatRole.Tool, ReadContent(result, $"{path}.output")) { ToolCallId = answered });
                break;
            case "item_reference":
                fields.Fail(path, $"\"{path}\" refers to an item by its id, which is not supported; send the item itself");
                break;
            case "":
                fields.Missing($"{path}.type");
                break;
            default:
                IsHeld = false;
                fields.Unknown.Keep("input[] of another type", item); // an item of OpenAI's built-in tools; other models do not know them
                break;
        }
    }

    private void ReadMessage(JsonElement item, string path)
    {
        var role = Required(item, "role"u8, $"{path}.role");
        if (!item.TryGetProperty("content"u8, out var content)) fields.Missing($"{path}.content");
        var refusal = role is "assistant" ? RefusalOf(content) : null;
        var parts = ReadContent(content, $"{path}.content");
        switch (role)
        {
            case "assistant":
                if (turn is not null && (turn.Content.Count > 0 || turn.Refusal is not null || calls.Count > 0)) EndTurn();
                turn = (turn ?? NewTurn()) with { Content = parts, Refusal = refusal };
                break;
            case "system" or "developer":
                EndTurn();
                if (messages.Count == 0 && parts.TrueForAll(static part => part is ContentPart.Text))
                    leading.Add(string.Concat(parts.Select(static part => ((ContentPart.Text)part).Value)));
                else Add(new ChatMessage(ChatRole.System, parts));
                break;
            case "user":
                EndTurn();
                Add(new ChatMessage(ChatRole.User, parts));
                break;
            default:
                fields.Fail($"{path}.role", $"\"{path}.role\" is '{role}'; it can be user, assistant, system or developer");
                break;
        }
    }

    private List<ContentPart> ReadContent(JsonElement content, string path)
    {
        var parts = new List<ContentPart>();
        switch (content.ValueKind)
        {
            case JsonValueKind.String:
                parts.Add(new ContentPart.Text(content.GetString()!));
                break;
            case JsonValueKind.Array:
                var number = 0;
                foreach (var part in content.EnumerateArray())
                {
                    var at = $"{path}[{number++}]";
                    if (fields.IsObject(part, at) && ReadPart(part, at) is { } read) parts.Add(read);
                }

                break;
            case JsonValueKind.Null or JsonValueKind.Undefined:
                break;
            default:
                fields.Fail(path, $"\"{path}\" must be a string or a list of parts");
                break;
        }

        return parts;
    }

    private ContentPart? ReadPart(JsonElement part, string path)
    {
        switch (OpenAiResponsesJson.Text(part, "type"u8))
        {
            case "input_text" or "output_text" or "text" or "summary_text" or "reasoning_text":
                return new ContentPart.Text(Required(part, "text"u8, $"{path}.text"));
            case "refusal":
                return null; // already read by RefusalOf
            case "input_image":
                if (OpenAiResponsesJson.Text(part, "image_url"u8) is { } url)
                    return ImageText.FromUrl(url) with { Detail = OpenAiResponsesJson.Text(part, "detail"u8) is { } detail and not "auto" ? detail : null };
                fields.Fail($"{path}.image_url", $"\"{path}\" has no \"image_url\"; files are not kept by this proxy, so send the image itself");
                return null;
            case { } other:
                return new ContentPart.Other(other, part.Clone());
            default:
                fields.Missing($"{path}.type");
                return null;
        }
    }

    private static string? RefusalOf(JsonElement content) => content.ValueKind is not JsonValueKind.Array ? null
        : string.Concat(content.EnumerateArray().Select(static part => OpenAiResponsesJson.Text(part, "refusal"u8))) is { Length: > 0 } said ? said : null;

    /// <summary>
    /// The text of a reasoning item: its content, otherwise its summary, otherwise the text that this proxy itself put into <c>encrypted_content</c>. Content
    /// that OpenAI really encrypted (it begins with <c>gAAAA</c>) cannot be read and is ignored.
    /// </summary>
    private static string? ReasoningOf(JsonElement item)
    {
        foreach (var name in (ReadOnlySpan<string>)["content", "summary"])
        {
            if (!item.TryGetProperty(name, out var parts) || parts.ValueKind is not JsonValueKind.Array) continue;
            var text = string.Join("\n\n",
                parts.EnumerateArray().Select(static part => OpenAiResponsesJson.Text(part, "text"u8)).Where(static said => !string.IsNullOrEmpty(said)));
            if (text.Length > 0) return text;
        }

        return OpenAiResponsesJson.Text(item, "encrypted_content"u8) is { Length: > 0 } own && !own.StartsWith("gAAAA", StringComparison.Ordinal) ? own : null;
    }

    private static ChatMessage NewTurn() => new(ChatRole.Assistant, []);

    private void Call(JsonElement item, string path, string arguments, bool takesText)
    {
        turn ??= NewTurn();
        var space = OpenAiResponsesJson.Text(item, "namespace"u8);
        var name = CustomTool.FullName(space, Required(item, "name"u8, $"{path}.name"));
        calls.Add(new ToolInvocation(Required(item, "call_id"u8, $"{path}.call_id"), name, arguments) { TakesText = takesText, Namespace = space });
    }

    private void EndTurn()
    {
        if (turn is null) return;
        var ended = turn with { ToolCalls = [.. calls], Reasoning = thoughts.Count == 0 ? null : string.Join("\n\n", thoughts) };
        turn = null;
        thoughts.Clear();
        calls.Clear();
        Add(ended);
    }

    private void Add(ChatMessage message)
    {
        if (messages.Count == 0 && leading.Count > 0) messages.Add(Leading());
        messages.Add(message);
    }

    private ChatMessage Leading() => new(ChatRole.System, [new ContentPart.Text(string.Join("\n\n", leading))]);

    private string Required(JsonElement item, ReadOnlySpan<byte> name, string path)
    {
        if (OpenAiResponsesJson.Text(item, name) is { } text) return text;
        fields.Fail(path, $"\"{path}\" must be a string");
        return "";
    }

    /// <summary>Writes <c>input</c>.</summary>
    public static void Write(Utf8JsonWriter json, IReadOnlyList<ChatMessage> messages, bool own, List<string> lost)
    {
        var turns = new ToolTurns(messages);
        json.WriteStartArray("input"u8);
        for (var i = 0; i < messages.Count; i++)
        {
            var message = messages[i];
            if (!own)
            {
                MessageLosses.Name(message, lost);
                lost.AddNames("messages[].", message.Unknown);
                lost.AddIf(message.Name is not null && message.Role is not ChatRole.Tool, "messages[].name");
            }

            if (message.Role is ChatRole.Tool)
            {
                json.WriteStartOfType(turns.AnswersCustomTool(i) ? "custom_tool_call_output"u8 : "function_call_output"u8);
                json.WriteString("call_id"u8, message.ToolCallId ?? turns.IdAnswered(i) ?? "");
                if (message.Content is [ContentPart.Text alone]) json.WriteString("output"u8, alone.Value);
                else WriteParts(json, "output", message, own, lost);
                json.WriteEndObject();
                continue;
            }

            if (message.Reasoning is { Length: > 0 } reasoning) WriteReasoning(json, i, reasoning);
            if (message.Content.Count > 0 || message.Refusal is not null || message.ToolCalls.Count == 0)
            {
                json.WriteStartOfType("message"u8);
                json.WriteString("role"u8, message.Role switch
                {
                    ChatRole.Assistant => "assistant",
                    ChatRole.System => "system",
                    ChatRole.Developer => "developer",
                    _ => "user"
                });
                WriteParts(json, "content", message, own, lost);
                json.WriteEndObject();
            }

            for (var j = 0; j < message.ToolCalls.Count; j++) WriteCall(json, message.ToolCalls[j], turns.IdOfCall(i, j));
        }

        json.WriteEndArray();
    }

    private static void WriteCall(Utf8JsonWriter json, ToolInvocation call, string id)
    {
        json.WriteStartOfType(call.TakesText ? "custom_tool_call"u8 : "function_call"u8);
        json.WriteString("call_id"u8, id);
        json.WriteString("name"u8, CustomTool.OwnName(call.Namespace, call.Name));
        json.WriteOptional("namespace"u8, call.Namespace);
        if (call.TakesText) json.WriteString("input"u8, CustomTool.Text(call.Arguments));
        else json.WriteString("arguments"u8, call.Arguments);
        json.WriteEndObject();
    }

    private static void WriteReasoning(Utf8JsonWriter json, int number, string reasoning)
    {
        json.WriteStartOfType("reasoning"u8);
        json.WriteString("id"u8, string.Create(System.Globalization.CultureInfo.InvariantCulture, $"rs_{number}"));
        json.WriteList("summary"u8);
        json.WriteStartArray("content"u8);
        json.WriteStartOfType("reasoning_text"u8);
        json.WriteString("text"u8, reasoning);
        json.WriteEndObject();
        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static void WriteParts(Utf8JsonWriter json, string name, ChatMessage message, bool own, List<string> lost)
    {
        json.WriteStartArray(name);
        foreach (var part in message.Content)
        {
            if (!own) lost.AddNames("messages[].content[].", part.Unknown);
            switch (part)
            {
                case ContentPart.Other other:
                    json.WriteAsItCame(other.Raw);
                    continue;
                case ContentPart.Text text:
                    json.WriteStartOfType(message.Role is ChatRole.Assistant ? "output_text"u8 : "input_text"u8);
                    json.WriteString("text"u8, text.Value);
                    break;
                case ContentPart.Image image:
                    json.WriteStartOfType("input_image"u8);
                    json.WriteString("image_url"u8, ImageText.ToUrl(image));
                    json.WriteString("detail"u8, image.Detail ?? "auto");
                    break;
            }

            json.WriteEndObject();
        }

        if (message.Refusal is { } refusal)
        {
            json.WriteStartOfType("refusal"u8);
            json.WriteString("refusal"u8, refusal);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }
}
