using System.Buffers;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OpenAiChat;

/// <summary>Requests of <c>/v1/chat/completions</c>, both ways. Members that local hosts added (<c>top_k</c>, <c>min_p</c>, <c>repeat_penalty</c>) are read as what they mean.</summary>
internal static class OpenAiChatRequestCodec
{
    public static ProxyError? Read(ReadOnlyMemory<byte> body, out ChatRequest? request)
    {
        var draft = new OpenAiDraft();
        return RequestDocument.Read(body, draft.Fields, root => ReadRequest(root, draft), out request);
    }

    private static ChatRequest ReadRequest(JsonElement root, OpenAiDraft draft)
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
                    request = request with { Messages = ReadMessages(value, fields) };
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
                    request = request with { Format = ReadFormat(value, out var whole) };
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
        if (string.IsNullOrWhiteSpace(request.Model)) fields.Fail("model", "the body has no \"model\"; say which model should answer");
        return request with { Sampling = sampling, Unknown = draft.Unknown, AsItCame = draft.AsItCame };
    }

    private static ToolChoice? ReadToolChoice(JsonElement value)
    {
        if (value.ValueKind is JsonValueKind.String) return new ToolChoice(value.GetString()!);
        if (value.ValueKind is not JsonValueKind.Object || !value.TryGetProperty("function"u8, out var function)) return null;
        return function.ValueKind is JsonValueKind.Object && function.TryGetProperty("name"u8, out var name) && name.ValueKind is JsonValueKind.String ? new ToolChoice("function", name.GetString()) : null;
    }

    /// <param name="value"></param>
    /// <param name="whole">What is returned says all of it.</param>
    public static OutputFormat? ReadFormat(JsonElement value, out bool whole)
    {
        whole = true;
        var type = value.TryGetProperty("type"u8, out var named) && named.ValueKind is JsonValueKind.String ? named.GetString() : null;
        if (type == "json_schema" && value.TryGetProperty("json_schema"u8, out var described) && described.ValueKind is JsonValueKind.Object)
        {
            JsonElement? schema = null;
            string? name = null, description = null;
            bool? strict = null;
            foreach (var member in described.EnumerateObject())
            {
                switch (member.Name)
                {
                    case "schema": schema = member.Value.Clone(); break;
                    case "name" when member.Value.ValueKind is JsonValueKind.String: name = member.Value.GetString(); break;
                    case "description" when member.Value.ValueKind is JsonValueKind.String: description = member.Value.GetString(); break;
                    case "strict" when member.Value.ValueKind is JsonValueKind.True or JsonValueKind.False: strict = member.Value.GetBoolean(); break;
                    default: whole = false; break;
                }
            }

            if (value.EnumerateObject().Count() > 2) whole = false;
            return new OutputFormat(schema) { Name = name, Description = description, Strict = strict };
        }

        whole = type is "json_object" or "text" && value.EnumerateObject().Count() == 1;
        if (type is "json_object") return new OutputFormat(value.TryGetProperty("schema"u8, out var own) ? own.Clone() : null); // llama.cpp's way to give a schema
        return null;
    }

    private static List<ChatMessage> ReadMessages(JsonElement value, RequestFields fields)
    {
        var messages = new List<ChatMessage>();
        if (!fields.IsList(value, "messages")) return messages;
        foreach (var item in value.EnumerateArray())
        {
            var path = $"messages[{messages.Count}]";
            if (!fields.IsObject(item, path)) break;
            messages.Add(ReadMessage(item, path, fields));
        }

        return messages;
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
        if (type is "text" && part.TryGetProperty("text"u8, out var text)) return new ContentPart.Text(fields.Text(text, $"{path}.text") ?? "") { Unknown = Others(part, "type", "text") };
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

        var detail = image.ValueKind is JsonValueKind.Object && image.TryGetProperty("detail"u8, out var how) && how.ValueKind is JsonValueKind.String ? how.GetString() : null;
        var whole = image.ValueKind is JsonValueKind.String || image.EnumerateObject().Count() == (detail is null ? 1 : 2);
        return ImageText.FromUrl(url.GetString()!) with { Detail = detail, Unknown = Others(part, "type", whole ? "image_url" : "type") };
    }

    private static List<KeyValuePair<string, JsonElement>> Others(JsonElement value, string known, string alsoKnown)
    {
        var others = new List<KeyValuePair<string, JsonElement>>();
        foreach (var member in value.EnumerateObject())
        {
            if (member.Name != known && member.Name != alsoKnown) others.Add(new(member.Name, member.Value.Clone()));
        }

        return others;
    }

    private static List<ToolInvocation> ReadToolCalls(JsonElement value, string path, RequestFields fields, out bool whole)
    {
        var calls = new List<ToolInvocation>();
        whole = true;
        if (!fields.IsList(value, path)) return calls;
        foreach (var call in value.EnumerateArray())
        {
            if (call.ValueKind is not JsonValueKind.Object || !call.TryGetProperty("function"u8, out var function) || function.ValueKind is not JsonValueKind.Object)
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

    /// <summary>A part that only another dialect knows cannot be shown to the model: an answer without it would be one to another question.</summary>
    public static ProxyError? Unsayable(ChatRequest request)
    {
        if (request.Origin is DialectName.OpenAiChat) return null;
        for (var i = 0; i < request.Messages.Count; i++)
        {
            var content = request.Messages[i].Content;
            for (var j = 0; j < content.Count; j++)
            {
                if (content[j] is ContentPart.Other other) return new ProxyError(ProxyErrorKind.InvalidRequest, $"the host of this model cannot be given a part of type \"{other.Type}\"") { Param = $"messages[{i}].content[{j}]" };
            }
        }

        return null;
    }

    public static void Write(ChatRequest request, string model, IBufferWriter<byte> output, List<string> lost)
    {
        var own = request.Origin is DialectName.OpenAiChat;
        using var json = WireJson.NewWriter(output);
        json.WriteStartObject();
        json.WriteString("model"u8, model);
        WriteMessages(json, request.Messages, own, lost);
        if (request.Stream) json.WriteBoolean("stream"u8, true);
        OpenAiMembers.WriteStreamOptions(json, request, own);
        WriteTools(json, request, own, lost);
        if (!own || !request.AsItCame.Has("response_format")) WriteFormat(json, request.Format);
        WriteThinking(json, request.Thinking, own, lost);
        if (request.LogProbabilities is { } probabilities) json.WriteBoolean("logprobs"u8, probabilities);
        if (request.TopLogProbabilities is { } top) json.WriteNumber("top_logprobs"u8, top);
        OpenAiMembers.Write(json, request, own, lost);
        foreach (var member in request.AsItCame)
        {
            if (own && member.Key is ("response_format" or "max_tokens")) json.WriteAsItCame(member.Key, member.Value); // the others only say which name to use
        }

        json.WriteEndObject();
    }

    private static void WriteTools(Utf8JsonWriter json, ChatRequest request, bool own, List<string> lost)
    {
        ToolJson.Write(json, request.Tools, own, strict: true, lost);
        if (request.ToolChoice is { } choice)
        {
            if (choice.Name is null)
            {
                json.WriteString("tool_choice"u8, choice.Mode);
            }
            else
            {
                json.WriteStartObject("tool_choice"u8);
                json.WriteString("type"u8, "function"u8);
                json.WriteStartObject("function"u8);
                json.WriteString("name"u8, choice.Name);
                json.WriteEndObject();
                json.WriteEndObject();
            }
        }

        if (request.ParallelToolCalls is { } parallel) json.WriteBoolean("parallel_tool_calls"u8, parallel);
    }

    public static void WriteFormat(Utf8JsonWriter json, OutputFormat? format)
    {
        if (format is null) return;
        json.WriteStartObject("response_format"u8);
        if (format.Schema is null && format.Name is null)
        {
            json.WriteString("type"u8, "json_object"u8);
        }
        else
        {
            json.WriteString("type"u8, "json_schema"u8);
            json.WriteStartObject("json_schema"u8);
            json.WriteString("name"u8, format.Name ?? "answer");
            if (format.Description is { } description) json.WriteString("description"u8, description);
            if (format.Strict is { } strict) json.WriteBoolean("strict"u8, strict);
            if (format.Schema is { } schema) json.WriteAsItCame("schema", schema);
            json.WriteEndObject();
        }

        json.WriteEndObject();
    }

    private static void WriteThinking(Utf8JsonWriter json, Thinking? thinking, bool own, List<string> lost)
    {
        if (thinking is null) return;
        if (!thinking.Enabled) json.WriteString("reasoning_effort"u8, "none"u8);
        else if (thinking.Effort is { } effort) json.WriteString("reasoning_effort"u8, !own && effort is "max" or "xhigh" ? "high" : effort);
        else lost.Add("think");
    }

    private static void WriteMessages(Utf8JsonWriter json, IReadOnlyList<ChatMessage> messages, bool own, List<string> lost)
    {
        var turns = new ToolTurns(messages);
        List<ContentPart>? shown = null;
        json.WriteStartArray("messages"u8);
        for (var i = 0; i < messages.Count; i++)
        {
            var message = messages[i];
            if (!own && message.Role is ChatRole.Tool && message.Content.Any(static part => part is ContentPart.Image))
            {
                // What a tool shows is said by the user, after all the answers: here only the user may show something.
                (shown ??= []).AddRange(message.Content.Where(static part => part is ContentPart.Image));
                message = message with { Content = [.. message.Content.Where(static part => part is not ContentPart.Image)] };
            }

            WriteMessage(json, message, i, turns, own, lost);
            if (shown is null || (i + 1 < messages.Count && messages[i + 1].Role is ChatRole.Tool)) continue;
            WriteMessage(json, new ChatMessage(ChatRole.User, shown), i, turns, own, lost);
            shown = null;
        }

        json.WriteEndArray();
    }

    private static void WriteMessage(Utf8JsonWriter json, ChatMessage message, int number, ToolTurns turns, bool own, List<string> lost)
    {
        json.WriteStartObject();
        json.WriteString("role"u8, message.RoleWord ?? OpenAiChatJson.Word(message.Role));
        WriteContent(json, message, own, lost);
        if (message.Name is { } name) json.WriteString("name"u8, name);
        if (message.Refusal is { } refusal) json.WriteString("refusal"u8, refusal);
        if (message.ToolCalls.Count > 0 && !(own && message.Unknown.Has("tool_calls"))) WriteToolCalls(json, message, number, turns);
        if ((message.ToolCallId ?? (message.Role is ChatRole.Tool ? turns.IdAnswered(number) : null)) is { } answered) json.WriteString("tool_call_id"u8, answered);
        if (message.Reasoning is { } reasoning && !own)
        {
            json.WriteString("reasoning_content"u8, reasoning);
            json.WriteString("reasoning"u8, reasoning);
        }

        if (own) json.WriteAll(message.AsItCame);
        MessageLosses.Name(message, lost);
        foreach (var member in message.Unknown)
        {
            if (own) json.WriteAsItCame(member.Key, member.Value);
            else lost.Add($"messages[].{member.Key}");
        }

        json.WriteEndObject();
    }

    private static void WriteContent(Utf8JsonWriter json, ChatMessage message, bool own, List<string> lost)
    {
        var content = message.Content;
        if (content.Count == 0)
        {
            if (message.Role is ChatRole.Assistant) json.WriteNull("content"u8);
            else json.WriteString("content"u8, ""u8);
            return;
        }

        if (content is [ContentPart.Text { Unknown.Count: 0 } alone])
        {
            json.WriteString("content"u8, alone.Value);
            return;
        }

        json.WriteStartArray("content"u8);
        foreach (var part in content)
        {
            if (part is ContentPart.Other other)
            {
                json.WriteAsItCame(JsonMarshal.GetRawUtf8Value(other.Raw));
                continue;
            }

            json.WriteStartObject();
            if (part is ContentPart.Text text)
            {
                json.WriteString("type"u8, "text"u8);
                json.WriteString("text"u8, text.Value);
            }
            else if (part is ContentPart.Image image)
            {
                json.WriteString("type"u8, "image_url"u8);
                if (!own || !image.Unknown.Has("image_url"))
                {
                    json.WriteStartObject("image_url"u8);
                    json.WriteString("url"u8, ImageText.ToUrl(image));
                    if (image.Detail is { } detail) json.WriteString("detail"u8, detail);
                    json.WriteEndObject();
                }
            }

            if (own) json.WriteAll(part.Unknown);
            else foreach (var member in part.Unknown) lost.Add($"messages[].content[].{member.Key}");
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    private static void WriteToolCalls(Utf8JsonWriter json, ChatMessage message, int number, ToolTurns turns)
    {
        json.WriteStartArray("tool_calls"u8);
        for (var j = 0; j < message.ToolCalls.Count; j++)
        {
            var call = message.ToolCalls[j];
            json.WriteStartObject();
            json.WriteString("id"u8, turns.IdOfCall(number, j));
            json.WriteString("type"u8, "function"u8);
            json.WriteStartObject("function"u8);
            json.WriteString("name"u8, call.Name);
            json.WriteString("arguments"u8, call.Arguments);
            json.WriteEndObject();
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }
}
