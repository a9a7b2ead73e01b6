using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OpenAiChat;

/// <summary>
/// Reads a request of <c>/v1/chat/completions</c>, including the members that local hosts added to it (<c>top_k</c>, <c>min_p</c>, <c>repeat_penalty</c>).
/// </summary>
internal static class OpenAiChatRequestReader
{
    public static ChatRequest Read(JsonElement root, OpenAiDraft draft)
    {
        var fields = draft.Fields;
        var request = new ChatRequest { Origin = DialectName.OpenAiChat, Model = "", Messages = [] };
        var sampling = new SamplingOptions();
        bool messages = false, newLimit = false;
        foreach (var member in root.EnumerateObject())
        {
            var value = member.Value;
            switch (member.Name)
            {
                case "model":
                    request = request with { Model = fields.Text(value, "model") ?? "" };
                    break;
                case "messages":
                    messages = true;
                    request = request with { Messages = fields.Objects(value, "messages", (item, path) => ReadMessage(item, path, fields)) };
                    break;
                case "tools":
                    if (value.ValueKind is not JsonValueKind.Null) request = request with { Tools = ToolJson.Read(value, fields) };
                    break;
                case "tool_choice":
                    if (ReadToolChoice(value) is { } choice) request = request with { ToolChoice = choice };
                    else if (value.ValueKind is not JsonValueKind.Null) draft.Keep(member);
                    break;
                case "parallel_tool_calls":
                    request = request with { ParallelToolCalls = fields.Flag(value, "parallel_tool_calls") };
                    break;
                case "response_format":
                    if (value.ValueKind is JsonValueKind.Null || !fields.IsObject(value, "response_format")) break;
                    request = request with { Format = OpenAiFormat.Read(value, out var whole) };
                    if (request.Format is null && !whole) draft.Keep(member);
                    else if (!whole) draft.KeepSpelling("response_format", value);
                    break;
                case "reasoning_effort":
                    if (fields.Text(value, "reasoning_effort") is { } effort) request = request with { Thinking = new Thinking(effort != "none", effort) };
                    break;
                case "logprobs":
                    request = request with { LogProbabilities = fields.Flag(value, "logprobs") };
                    break;
                case "top_logprobs":
                    request = request with { TopLogProbabilities = fields.Count(value, "top_logprobs") };
                    break;
                case "max_tokens":
                    if (newLimit) draft.KeepSpelling("max_tokens", value);
                    else sampling = sampling with { MaxTokens = fields.Count(value, "max_tokens") };
                    break;
                case "max_completion_tokens":
                    if (value.ValueKind is JsonValueKind.Null) break;
                    if (sampling.MaxTokens is not null && root.TryGetProperty("max_tokens"u8, out var old)) draft.KeepSpelling("max_tokens", old);
                    newLimit = true;
                    sampling = sampling with { MaxTokens = fields.Count(value, "max_completion_tokens") };
                    draft.KeepSpelling("max_completion_tokens", value);
                    break;
                default:
                    if (!OpenAiMembers.TryRead(member, draft, ref request, ref sampling)) draft.Keep(member);
                    break;
            }
        }

        if (!messages) fields.Fail("messages", "the body has no \"messages\"; send at least one");
        fields.NeedModel(request);
        return request with { Sampling = sampling, Unknown = draft.Unknown, AsItCame = draft.AsItCame };
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
        List<KeyValuePair<string, JsonElement>>? unknown = null, spellings = null;
        foreach (var member in item.EnumerateObject())
        {
            var value = member.Value;
            switch (member.Name)
            {
                case "role":
                    role = fields.Text(value, $"{path}.role");
                    break;
                case "content":
                    message = message with { Content = ReadContent(value, $"{path}.content", fields) };
                    break;
                case "name":
                    message = message with { Name = fields.Text(value, $"{path}.name") };
                    break;
                case "tool_call_id":
                    message = message with { ToolCallId = fields.Text(value, $"{path}.tool_call_id") };
                    break;
                case "refusal":
                    message = message with { Refusal = fields.Text(value, $"{path}.refusal") };
                    break;
                case "tool_calls":
                    if (value.ValueKind is JsonValueKind.Null) break;
                    message = message with { ToolCalls = ReadToolCalls(value, $"{path}.tool_calls", fields, out var whole) };
                    if (!whole) Keep(member);
                    break;
                case "reasoning_content" or "reasoning":
                    if (value.ValueKind is JsonValueKind.String) message = message with { Reasoning = message.Reasoning ?? value.GetString() };
                    (spellings ??= []).Add(new(member.Name, value.Clone()));
                    break;
                default:
                    Keep(member);
                    break;
            }
        }

        if (role is null) fields.Fail($"{path}.role", $"\"{path}.role\" is missing");
        var known = OpenAiChatJson.Role(role);
        return message with
        {
            Role = known ?? (role == "function" ? ChatRole.Tool : ChatRole.User),
            RoleWord = known is null ? role : null,
            Unknown = unknown is null ? [] : unknown,
            AsItCame = spellings is null ? [] : spellings,
        };

        void Keep(JsonProperty member) => (unknown ??= []).Add(new(member.Name, member.Value.Clone()));
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
            if (type.Length == 0) fields.Fail($"{path}.type", $"\"{path}.type\" is missing");
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
