using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OpenAiChat;

/// <summary>
/// Reads a request of <c>/v1/chat/completions</c>, including the members that local hosts added to it (<c>top_k</c>, <c>min_p</c>, <c>repeat_penalty</c>).
/// </summary>
internal static class OpenAiChatRequestReader
{
    public static ChatRequest Read(JsonElement root, RequestFields fields)
    {
        var request = new ChatRequest { Origin = DialectName.OpenAiChat, Model = "", Messages = [] };
        foreach (var member in root.EnumerateObject())
        {
            if (ReadMember(member, root, fields, request) is { } read) request = read;
            else fields.Unknown.Keep(member);
        }

        if (!root.TryGetProperty("messages"u8, out _)) fields.Fail("messages", "the body has no \"messages\"; send at least one");
        fields.NeedModel(request);
        return request;
    }

    /// <summary>The request with the member. Null for a member that only this dialect has; it is kept as it came.</summary>
    private static ChatRequest? ReadMember(JsonProperty member, JsonElement root, RequestFields fields, ChatRequest request)
    {
        var (name, value) = (member.Name, member.Value);
        return name switch
        {
            "messages" => request with { Messages = fields.Objects(value, name, (item, path) => ReadMessage(item, path, fields)) },
            "tools" or "tool_choice" or "max_completion_tokens" when value.ValueKind is JsonValueKind.Null => request,
            "tools" => request with { Tools = ToolJson.Read(value, fields) },
            "tool_choice" => ReadToolChoice(value) is { } choice ? request with { ToolChoice = choice } : null,
            "parallel_tool_calls" => request with { ParallelToolCalls = fields.Flag(value, name) },
            "response_format" => OpenAiMembers.ReadFormat(member, fields, request, always: false),
            "reasoning_effort" => fields.Text(value, name) is { } effort ? request with { Thinking = new Thinking(effort != "none", effort) } : request,
            "logprobs" => request with { LogProbabilities = fields.Flag(value, name) },
            "top_logprobs" => request with { TopLogProbabilities = fields.Count(value, name) },
            "max_tokens" or "max_completion_tokens" => ReadLimit(member, root, fields, request),
            _ => OpenAiMembers.Read(member, fields, request),
        };
    }

    /// <summary>The limit has an old and a new name. If a request has both, the new one counts, and the old one is kept as it came.</summary>
    private static ChatRequest ReadLimit(JsonProperty member, JsonElement root, RequestFields fields, ChatRequest request)
    {
        var isNew = member.Name is "max_completion_tokens";
        if (isNew && request.Sampling.MaxTokens is not null && root.TryGetProperty("max_tokens"u8, out var old)) fields.AsItCame.Keep("max_tokens", old);
        var isSecond = !isNew && fields.AsItCame.Has("max_completion_tokens");
        if (isNew || isSecond) fields.AsItCame.Keep(member);
        return isSecond ? request : request with { Sampling = request.Sampling with { MaxTokens = fields.Count(member.Value, member.Name) } };
    }

    private static ToolChoice? ReadToolChoice(JsonElement value)
    {
        if (value.ValueKind is JsonValueKind.String) return new ToolChoice(value.GetString()!);
        if (value.ValueKind is not JsonValueKind.Object || !value.TryGetProperty("function"u8, out var function)) return null;
        return function.ValueKind is JsonValueKind.Object && function.TryGetProperty("name"u8, out var name) && name.ValueKind is JsonValueKind.String
            ? new ToolChoice("function", name.GetString())
            : null;
    }

    private static ChatMessage ReadMessage(JsonElement item, string path, RequestFields fields)
    {
        var message = new ChatMessage(ChatRole.User, []);
        string? role = null;
        List<KeyValuePair<string, JsonElement>> unknown = [], spellings = [];
        foreach (var member in item.EnumerateObject())
        {
            var (value, at) = (member.Value, $"{path}.{member.Name}");
            switch (member.Name)
            {
                case "role":
                    role = fields.Text(value, at);
                    break;
                case "content":
                    message = message with { Content = ReadContent(value, at, fields) };
                    break;
                case "name":
                    message = message with { Name = fields.Text(value, at) };
                    break;
                case "tool_call_id":
                    message = message with { ToolCallId = fields.Text(value, at) };
                    break;
                case "refusal":
                    message = message with { Refusal = fields.Text(value, at) };
                    break;
                case "tool_calls":
                    if (value.ValueKind is JsonValueKind.Null) break;
                    message = message with { ToolCalls = ReadToolCalls(value, at, fields, out var whole) };
                    if (!whole) unknown.Keep(member);
                    break;
                case "reasoning_content" or "reasoning":
                    if (value.ValueKind is JsonValueKind.String) message = message with { Reasoning = message.Reasoning ?? value.GetString() };
                    spellings.Keep(member);
                    break;
                default:
                    unknown.Keep(member);
                    break;
            }
        }

        if (role is null) fields.Missing($"{path}.role");
        var known = OpenAiChatJson.Role(role);
        return message with
        {
            Role = known ?? (role == "function" ? ChatRole.Tool : ChatRole.User),
            RoleWord = known is null ? role : null,
            Unknown = unknown,
            AsItCame = spellings,
        };
    }

    private static List<ContentPart> ReadContent(JsonElement value, string path, RequestFields fields)
    {
        var parts = new List<ContentPart>();
        switch (value.ValueKind)
        {
            case JsonValueKind.Null:
                break;
            case JsonValueKind.String:
                parts.Add(new ContentPart.Text(value.GetString()!));
                break;
            case JsonValueKind.Array:
                foreach (var part in value.EnumerateArray())
                {
                    var at = $"{path}[{parts.Count}]";
                    if (part.ValueKind is JsonValueKind.String) parts.Add(new ContentPart.Text(part.GetString()!));
                    else if (fields.IsObject(part, at)) parts.Add(ReadPart(part, at, fields));
                    else return parts;
                }

                break;
            default:
                fields.Fail(path, $"\"{path}\" must be a string or a list of parts");
                break;
        }

        return parts;
    }

    private static ContentPart ReadPart(JsonElement part, string path, RequestFields fields)
    {
        var type = part.TryGetProperty("type"u8, out var named) && named.ValueKind is JsonValueKind.String ? named.GetString()! : "";
        if (type is "text" && part.TryGetProperty("text"u8, out var text))
            return new ContentPart.Text(fields.Text(text, $"{path}.text") ?? "") { Unknown = part.Others("text") };
        if (type is not "image_url" || !part.TryGetProperty("image_url"u8, out var image))
        {
            if (type.Length == 0) fields.Missing($"{path}.type");
            return new ContentPart.Other(type, part.Clone());
        }

        var url = image.ValueKind is JsonValueKind.Object && image.TryGetProperty("url"u8, out var inner) ? inner : image;
        if (url.ValueKind is not JsonValueKind.String)
        {
            fields.Fail($"{path}.image_url.url", $"\"{path}.image_url.url\" must be a string");
            return new ContentPart.Other(type, part.Clone());
        }

        var detail = image.ValueKind is JsonValueKind.Object && image.TryGetProperty("detail"u8, out var how) && how.ValueKind is JsonValueKind.String
            ? how.GetString()
            : null;
        var whole = image.ValueKind is JsonValueKind.String || image.EnumerateObject().Count() == (detail is null ? 1 : 2);
        return ImageText.FromUrl(url.GetString()!) with { Detail = detail, Unknown = part.Others(whole ? "image_url" : "type") };
    }

    private static List<ToolInvocation> ReadToolCalls(JsonElement value, string path, RequestFields fields, out bool whole)
    {
        var calls = new List<ToolInvocation>();
        whole = true;
        if (!fields.IsList(value, path)) return calls;
        foreach (var call in value.EnumerateArray())
        {
            if (call.ValueKind is not JsonValueKind.Object || !call.TryGetProperty("function"u8, out var function)
                || function.ValueKind is not JsonValueKind.Object)
            {
                whole = false; // a kind of call that only OpenAI's own models make
                continue;
            }

            string? id = null;
            foreach (var member in call.EnumerateObject())
            {
                if (member.NameEquals("id"u8)) id = fields.Text(member.Value, $"{path}[{calls.Count}].id");
                else if (!member.NameEquals("type"u8) && !member.NameEquals("function"u8) && !member.NameEquals("index"u8)) whole = false;
            }

            string name = "", arguments = "";
            foreach (var member in function.EnumerateObject())
            {
                if (member.NameEquals("name"u8)) name = fields.Text(member.Value, $"{path}[{calls.Count}].function.name") ?? "";
                else if (!member.NameEquals("arguments"u8)) whole = false;
                else if (member.Value.ValueKind is JsonValueKind.Object) arguments = member.Value.GetRawText();
                else arguments = fields.Text(member.Value, $"{path}[{calls.Count}].function.arguments") ?? "";
            }

            calls.Add(new ToolInvocation(id, name, arguments));
        }

        return calls;
    }
}
