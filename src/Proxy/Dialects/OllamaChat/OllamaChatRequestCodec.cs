using System.Buffers;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OllamaChat;

/// <summary>Reads and writes requests of <c>/api/chat</c>.</summary>
internal static class OllamaChatRequestCodec
{
    public static ProxyError? Read(ReadOnlyMemory<byte> body, out ChatRequest? request) => RequestDocument.Read(body, ReadRequest, out request);

    private static ChatRequest ReadRequest(JsonElement root, RequestFields fields)
    {
        var request = new ChatRequest { Origin = DialectName.OllamaChat, Model = "", Messages = [], Stream = true };
        foreach (var member in root.EnumerateObject())
        {
            var (name, value) = (member.Name, member.Value);
            var read = name switch
            {
                "messages" or "tools" when value.ValueKind is JsonValueKind.Null => request,
                "messages" => request with { Messages = fields.Objects(value, name, (item, path) => ReadMessage(item, path, fields)) },
                "tools" => request with { Tools = ToolJson.Read(value, fields) },
                _ => OllamaMembers.Read(member, fields, request),
            };
            if (read is null) fields.Unknown.Keep(member);
            request = read ?? request;
        }

        fields.NeedModel(request, OllamaMembers.NoModel);
        return request with { IncludeUsage = request.Stream };
    }

    private static ChatMessage ReadMessage(JsonElement item, string path, RequestFields fields)
    {
        var message = new ChatMessage(ChatRole.User, []);
        var content = new List<ContentPart>();
        var unknown = new List<KeyValuePair<string, JsonElement>>();
        string? role = null;
        foreach (var member in item.EnumerateObject())
        {
            var (value, at) = (member.Value, $"{path}.{member.Name}");
            switch (member.Name)
            {
                case "role":
                    role = fields.Text(value, at);
                    break;
                case "content":
                    if (fields.Text(value, at) is { } text) content.Insert(0, new ContentPart.Text(text));
                    break;
                case "images":
                    content.AddRange(OllamaMembers.ReadImages(value, at, fields));
                    break;
                case "thinking":
                    message = message with { Reasoning = fields.Text(value, at) };
                    break;
                case "tool_calls":
                    if (value.ValueKind is not JsonValueKind.Null) message = message with { ToolCalls = ReadToolCalls(value, at, fields) };
                    break;
                case "tool_name":
                    message = message with { ToolName = fields.Text(value, at) };
                    break;
                case "tool_call_id":
                    message = message with { ToolCallId = fields.Text(value, at) };
                    break;
                default:
                    unknown.Keep(member);
                    break;
            }
        }

        if (role is null) fields.Missing($"{path}.role");
        ChatRole? known = role switch
        {
            "system" => ChatRole.System,
            "user" => ChatRole.User,
            "assistant" => ChatRole.Assistant,
            "tool" => ChatRole.Tool,
            _ => null
        };
        return message with { Role = known ?? ChatRole.User, RoleWord = known is null ? role : null, Content = content, Unknown = unknown };
    }

    private static List<ToolInvocation> ReadToolCalls(JsonElement value, string path, RequestFields fields)
    {
        var calls = new List<ToolInvocation>();
        if (!fields.IsList(value, path)) return calls;
        foreach (var call in value.EnumerateArray())
        {
            var at = $"{path}[{calls.Count}]";
            if (!fields.IsObject(call, at) || !call.TryGetProperty("function"u8, out var function) || !fields.IsObject(function, $"{at}.function")) break;
            var id = call.TryGetProperty("id"u8, out var given) ? fields.Text(given, $"{at}.id") : null;
            var name = function.TryGetProperty("name"u8, out var named) ? fields.Text(named, $"{at}.function.name") : null;
            var arguments = !function.TryGetProperty("arguments"u8, out var written) || written.ValueKind is JsonValueKind.Null ? "{}"
                : written.ValueKind is JsonValueKind.String ? written.GetString()!
                : written.GetRawText();
            calls.Add(new ToolInvocation(string.IsNullOrEmpty(id) ? null : id, name ?? "", arguments));
        }

        return calls;
    }

    /// <summary>
    /// Refuses images and other parts that the host cannot accept. Dropping them would change the question, so it is not enough to name the loss in the log.
    /// </summary>
    public static ProxyError? Unsayable(ChatRequest request) => request.FirstPart(static (part, place) => part switch
    {
        ContentPart.Image { Base64: null } =>
            new ProxyError(ProxyErrorKind.InvalidRequest, $"the model's host takes images only inside the request: send \"{place}\" as a data: URL "
                + "with base64 instead of an address, or let the operator allow [server] fetch_images") { Param = $"{place}.image_url.url" },
        ContentPart.Other other =>
            new ProxyError(ProxyErrorKind.InvalidRequest,
                $"the model's host takes text and images only, and \"{place}\" is of type \"{other.Type}\"") { Param = $"{place}" },
        _ => null,
    });

    public static void Write(ChatRequest request, string model, IBufferWriter<byte> output, List<string> lost)
    {
        var own = request.Origin is DialectName.OllamaChat;
        request = TranslatedRequest.For(DialectName.OllamaChat, request);
        using var json = WireJson.NewWriter(output);
        json.WriteStartObject();
        json.WriteString("model"u8, model);
        WriteMessages(json, request.Messages, own, lost);
        WriteTools(json, request, own, lost);
        OllamaMembers.Write(json, request, own, lost);
        json.WriteEndObject();
    }

    private static void WriteTools(Utf8JsonWriter json, ChatRequest request, bool own, List<string> lost)
    {
        lost.AddIf(request.ParallelToolCalls is false, "parallel_tool_calls");
        if (request.ToolChoice is { Mode: "none" }) return; // without tools the model makes no calls

        var tools = request.Tools;
        if (request.ToolChoice is { Mode: not "auto" } choice)
        {
            lost.Add("tool_choice"); // the model may still answer with text
            if (choice.Name is { } name) tools = [.. tools.Where(tool => tool.Name == name)];
        }

        ToolJson.Write(json, tools, own, strict: false, lost);
    }

    private static void WriteMessages(Utf8JsonWriter json, IReadOnlyList<ChatMessage> messages, bool own, List<string> lost)
    {
        var turns = new ToolTurns(messages);
        json.WriteStartArray("messages"u8);
        for (var i = 0; i < messages.Count; i++)
        {
            var message = messages[i];
            json.WriteStartObject();
            json.WriteString("role"u8, Word(message));
            WriteContent(json, message, lost);
            if (message.Reasoning is { Length: > 0 } reasoning) json.WriteString("thinking"u8, reasoning);
            WriteToolCalls(json, message, i, own, turns, lost);
            json.WriteOptional("tool_name"u8, message.ToolName ?? turns.NameAnswered(i) ?? (message.Role is ChatRole.Tool ? message.Name : null));
            json.WriteOptional("tool_call_id"u8, message.ToolCallId ?? (own ? null : turns.IdAnswered(i)));
            lost.AddIf(message.Name is not null && message.Role is not ChatRole.Tool, "messages[].name");
            MessageLosses.Name(message, lost);
            json.WriteOrLose(message.Unknown, own, "messages[].", lost);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    private static string Word(ChatMessage message) => message.Role switch
    {
        ChatRole.Tool => "tool", // also OpenAI's old role "function"
        _ when message.RoleWord is { } word => word,
        ChatRole.System or ChatRole.Developer => "system",
        ChatRole.User => "user",
        _ => "assistant",
    };

    private static void WriteContent(Utf8JsonWriter json, ChatMessage message, List<string> lost)
    {
        foreach (var part in message.Content)
        {
            lost.AddIf(part is ContentPart.Image { Detail: not null }, "messages[].content[].image_url.detail");
            lost.AddNames("messages[].content[].", part.Unknown);
        }

        List<string> texts = [.. message.Content.OfType<ContentPart.Text>().Select(static part => part.Value)];
        if (message.Refusal is { } refusal) texts.Add(refusal);
        json.WriteString("content"u8, string.Join('\n', texts));
        var images = message.Content.OfType<ContentPart.Image>();
        if (images.Any()) json.WriteList("images"u8, images.Select(static image => image.Base64).OfType<string>());
    }

    private static void WriteToolCalls(Utf8JsonWriter json, ChatMessage message, int number, bool own, ToolTurns turns, List<string> lost)
    {
        if (message.ToolCalls.Count == 0) return;
        json.WriteStartArray("tool_calls"u8);
        for (var j = 0; j < message.ToolCalls.Count; j++)
        {
            var call = message.ToolCalls[j];
            json.WriteStartObject();
            if (!own || call.Id is not null) json.WriteString("id"u8, turns.IdOfCall(number, j));
            json.WriteStartObject("function"u8);
            json.WriteString("name"u8, call.Name);
            OllamaChatJson.WriteArguments(json, call.Arguments);
            if (!string.IsNullOrWhiteSpace(call.Arguments) && !WireJson.IsObject(call.Arguments)) lost.Add("messages[].tool_calls[].function.arguments");
            json.WriteEndObject();
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }
}
