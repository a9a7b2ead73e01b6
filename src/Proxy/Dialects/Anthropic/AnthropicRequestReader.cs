using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.Anthropic;

/// <summary>
/// Reads one request. In Anthropic's format a user message can hold tool results beside the user's own text. Here each tool result becomes a message of its
/// own, in the same order; the writer joins neighbouring messages again.
/// </summary>
internal sealed class AnthropicRequestReader(RequestFields fields)
{
    private readonly List<ChatMessage> messages = [];
    private readonly List<KeyValuePair<string, JsonElement>> unknown = [];
    private readonly List<KeyValuePair<string, JsonElement>> asItCame = [];

    public ChatRequest Read(JsonElement root, bool limited)
    {
        var request = new ChatRequest { Origin = DialectName.Anthropic, Model = "", Messages = messages };
        var sampling = new SamplingOptions();
        JsonElement? said = null, thinking = null;
        string? effort = null;
        foreach (var member in root.EnumerateObject())
        {
            var value = member.Value;
            switch (member.Name)
            {
                case "tool_choice" or "thinking" or "output_config" or "metadata" when value.ValueKind is JsonValueKind.Null || !fields.IsObject(value, member.Name):
                    break;
                case "model":
                    request = request with { Model = fields.Text(value, "model") ?? "" };
                    break;
                case "messages":
                    said = value;
                    break;
                case "system":
                    if (value.ValueKind is not JsonValueKind.Null) messages.Insert(0, new ChatMessage(ChatRole.System, ReadTexts(value, "system")));
                    break;
                case "max_tokens":
                    sampling = sampling with { MaxTokens = fields.Count(value, "max_tokens") };
                    break;
                case "stream":
                    request = request with { Stream = fields.Flag(value, "stream") ?? false };
                    break;
                case "temperature" or "top_p" or "top_k":
                    SamplingJson.TryRead(member, member.Name, fields, ref sampling);
                    break;
                case "stop_sequences":
                    sampling = sampling with { Stop = fields.Texts(value, "stop_sequences") };
                    break;
                case "tools":
                    if (value.ValueKind is not JsonValueKind.Null)
                        request = request with { Tools = fields.Objects(value, "tools", static (item, _) => ReadTool(item)) };
                    break;
                case "tool_choice":
                    request = ReadToolChoice(request, value);
                    break;
                case "thinking":
                    thinking = value;
                    asItCame.Add(new("thinking", value.Clone()));
                    break;
                case "output_config":
                    asItCame.Add(new("output_config", value.Clone()));
                    request = ReadOutputConfig(request, value, ref effort);
                    break;
                case "output_format":
                    if (ReadFormat(value, "output_format") is not { } format) break;
                    request = request with { Format = format };
                    asItCame.Add(new("output_format", value.Clone()));
                    break;
                case "metadata":
                    if (value.TryGetProperty("user_id"u8, out var user)) request = request with { User = fields.Text(user, "metadata.user_id") };
                    if (value.EnumerateObject().Any(static part => part.Name != "user_id")) unknown.Add(new("metadata", value.Clone()));
                    break;
                default:
                    unknown.Add(new(member.Name, value.Clone()));
                    break;
            }
        }

        if (said is { } list) ReadMessages(list);
        else fields.Fail("messages", "the body has no \"messages\"; send at least one");
        if (limited && sampling.MaxTokens is null) fields.Fail("max_tokens", "\"max_tokens\" is missing; say how many tokens the answer may have");
        if (limited && sampling.MaxTokens <= 0) fields.Fail("max_tokens", "\"max_tokens\" must be above 0");
        fields.NeedModel(request);
        return request with
        {
            Sampling = sampling,
            Thinking = ReadThinking(thinking, effort),
            IncludeUsage = request.Stream, // this dialect always reports usage
            Unknown = unknown,
            AsItCame = asItCame,
        };
    }

    private ChatRequest ReadOutputConfig(ChatRequest request, JsonElement config, ref string? effort)
    {
        foreach (var part in config.EnumerateObject())
        {
            if (part.NameEquals("effort"u8)) effort = fields.Text(part.Value, "output_config.effort");
            else if (part.NameEquals("format"u8)) request = request with { Format = ReadFormat(part.Value, "output_config.format") ?? request.Format };
            else unknown.Add(new($"output_config.{part.Name}", part.Value.Clone()));
        }

        return request;
    }

    /// <summary>Converts a thinking budget in tokens into an effort level, for dialects that have only levels.</summary>
    private static string EffortOf(int budget) => budget switch { < 4096 => "low", < 16384 => "medium", _ => "high" };

    private Thinking? ReadThinking(JsonElement? value, string? effort)
    {
        if (value is not { } said) return effort is null ? null : new Thinking(true, effort);
        var type = said.TryGetProperty("type"u8, out var named) ? fields.Text(named, "thinking.type") : null;
        switch (type)
        {
            case "disabled":
                return new Thinking(false);
            case "enabled":
                var budget = said.TryGetProperty("budget_tokens"u8, out var tokens) ? fields.Count(tokens, "thinking.budget_tokens") : null;
                return new Thinking(true, effort ?? (budget is { } some ? EffortOf(some) : null)) { Budget = budget };
            case null:
                fields.Fail("thinking.type", "\"thinking.type\" is missing");
                return null;
            default: // "adaptive", or a type newer than this code: the model decides how much it thinks
                return new Thinking(true, effort);
        }
    }

    private OutputFormat? ReadFormat(JsonElement value, string path)
    {
        if (value.ValueKind is JsonValueKind.Null || !fields.IsObject(value, path)) return null;
        if (value.TryGetProperty("schema"u8, out var schema) && schema.ValueKind is JsonValueKind.Object) return new OutputFormat(schema.Clone());
        unknown.Add(new(path, value.Clone()));
        return null;
    }

    private static ToolDefinition ReadTool(JsonElement item)
    {
        string name = "";
        string? description = null, type = null;
        JsonElement? schema = null;
        bool? strict = null;
        var whole = true;
        foreach (var member in item.EnumerateObject())
        {
            switch (member.Name)
            {
                case "name" when member.Value.ValueKind is JsonValueKind.String: name = member.Value.GetString()!; break;
                case "description" when member.Value.ValueKind is JsonValueKind.String: description = member.Value.GetString(); break;
                case "type" when member.Value.ValueKind is JsonValueKind.String: type = member.Value.GetString(); break;
                case "input_schema": schema = member.Value.Clone(); break;
                case "strict" when member.Value.ValueKind is JsonValueKind.True or JsonValueKind.False: strict = member.Value.GetBoolean(); break;
                default: whole = false; break;
            }
        }

        // One of Anthropic's built-in tools (web search, computer use, text editor). Only Anthropic's models and servers know what it does.
        if (type is not (null or "custom") || schema is null) return new ToolDefinition("", null, null) { Raw = item.Clone() };
        return new ToolDefinition(name, description, schema) { Strict = strict, Raw = whole && type is null ? null : item.Clone() };
    }

    private ChatRequest ReadToolChoice(ChatRequest request, JsonElement value)
    {
        var type = value.TryGetProperty("type"u8, out var named) ? fields.Text(named, "tool_choice.type") : null;
        var choice = type switch
        {
            "auto" or "none" => new ToolChoice(type),
            "any" => new ToolChoice("required"),
            "tool" => new ToolChoice("function", value.TryGetProperty("name"u8, out var tool) ? fields.Text(tool, "tool_choice.name") : null),
            _ => null,
        };
        if (choice is null) fields.Fail("tool_choice.type", "\"tool_choice.type\" must be auto, any, tool or none");
        else if (choice is { Mode: "function", Name: null }) fields.Fail("tool_choice.name", "\"tool_choice.name\" is missing");
        bool? alone = value.TryGetProperty("disable_parallel_tool_use"u8, out var disabled)
            ? fields.Flag(disabled, "tool_choice.disable_parallel_tool_use")
            : null;
        return request with { ToolChoice = choice, ParallelToolCalls = alone is null ? null : !alone };
    }

    private List<ContentPart> ReadTexts(JsonElement value, string path)
    {
        var parts = new List<ContentPart>();
        if (value.ValueKind is JsonValueKind.String) parts.Add(new ContentPart.Text(value.GetString()!));
        else if (fields.IsList(value, path))
        {
            foreach (var block in value.EnumerateArray()) ReadPart(block, $"{path}[{parts.Count}]", parts);
        }

        return parts;
    }

    private void ReadMessages(JsonElement value)
    {
        if (!fields.IsList(value, "messages")) return;
        var number = 0;
        foreach (var item in value.EnumerateArray())
        {
            var path = $"messages[{number++}]";
            if (!fields.IsObject(item, path)) return;
            string? role = null;
            JsonElement? content = null;
            List<KeyValuePair<string, JsonElement>>? others = null;
            foreach (var member in item.EnumerateObject())
            {
                if (member.NameEquals("role"u8)) role = fields.Text(member.Value, $"{path}.role");
                else if (member.NameEquals("content"u8)) content = member.Value;
                else (others ??= []).Add(new(member.Name, member.Value.Clone()));
            }

            var before = messages.Count;
            switch (role)
            {
                case "user": ReadUser(content, path); break;
                case "assistant": ReadAssistant(content, path); break;
                case "system": messages.Add(new ChatMessage(ChatRole.System, content is { } texts ? ReadTexts(texts, $"{path}.content") : [])); break;
                case null: fields.Fail($"{path}.role", $"\"{path}.role\" is missing"); return;
                default: fields.Fail($"{path}.role", $"\"{path}.role\" must be user or assistant"); return;
            }

            if (others is not null && messages.Count > before) messages[^1] = messages[^1] with { Unknown = [.. messages[^1].Unknown, .. others] };
        }

        if (number == 0) fields.Fail("messages", "\"messages\" is empty; send at least one");
    }

    private void ReadUser(JsonElement? value, string path)
    {
        var parts = new List<ContentPart>();
        if (value is not { } content || content.ValueKind is JsonValueKind.String)
        {
            if (value is { } text) parts.Add(new ContentPart.Text(text.GetString()!));
            else fields.Fail($"{path}.content", $"\"{path}.content\" is missing");
            messages.Add(new ChatMessage(ChatRole.User, parts));
            return;
        }

        if (!IsBlocks(content, $"{path}.content")) return;
        var number = 0;
        foreach (var block in content.EnumerateArray())
        {
            var at = $"{path}.content[{number++}]";
            if (TypeOf(block, at) is "tool_result")
            {
                Flush();
                messages.Add(ReadToolResult(block, at));
            }
            else
            {
                ReadPart(block, at, parts);
            }
        }

        if (number == 0) messages.Add(new ChatMessage(ChatRole.User, []));
        Flush();

        void Flush()
        {
            if (parts.Count == 0) return;
            messages.Add(new ChatMessage(ChatRole.User, parts));
            parts = [];
        }
    }

    private ChatMessage ReadToolResult(JsonElement block, string path)
    {
        var message = new ChatMessage(ChatRole.Tool, []);
        List<KeyValuePair<string, JsonElement>>? others = null;
        foreach (var member in block.EnumerateObject())
        {
            switch (member.Name)
            {
                case "type": break;
                case "tool_use_id":
                    message = message with { ToolCallId = fields.Text(member.Value, $"{path}.tool_use_id") is { } id ? AnthropicCallId.Restored(id) : null };
                    break;
                case "is_error": message = message with { ToolFailed = fields.Flag(member.Value, $"{path}.is_error") ?? false }; break;
                case "content":
                    if (member.Value.ValueKind is not JsonValueKind.Null) message = message with { Content = ReadTexts(member.Value, $"{path}.content") };
                    break;
                default: (others ??= []).Add(new(member.Name, member.Value.Clone())); break;
            }
        }

        if (message.ToolCallId is null) fields.Fail($"{path}.tool_use_id", $"\"{path}.tool_use_id\" is missing");
        return others is null ? message : message with { Unknown = others };
    }

    private void ReadAssistant(JsonElement? value, string path)
    {
        var parts = new List<ContentPart>();
        var calls = new List<ToolInvocation>();
        List<Thought>? thoughts = null;
        if (value is not { } content) fields.Fail($"{path}.content", $"\"{path}.content\" is missing");
        else if (content.ValueKind is JsonValueKind.String) parts.Add(new ContentPart.Text(content.GetString()!));
        else if (IsBlocks(content, $"{path}.content"))
        {
            var number = 0;
            foreach (var block in content.EnumerateArray())
            {
                var at = $"{path}.content[{number++}]";
                switch (TypeOf(block, at))
                {
                    case "thinking":
                        (thoughts ??= []).Add(new Thought(TextOf(block, "thinking", at) ?? "", TextOf(block, "signature", at), null,
                            parts.Count + calls.Count));
                        break;
                    case "redacted_thinking":
                        (thoughts ??= []).Add(new Thought("", null, TextOf(block, "data", at) ?? "", parts.Count + calls.Count));
                        break;
                    case "tool_use":
                        calls.Add(ReadCall(block, at));
                        break;
                    default:
                        ReadPart(block, at, parts);
                        break;
                }
            }
        }

        var said = thoughts is null ? "" : string.Join("\n", thoughts.Where(static thought => thought.Text.Length > 0).Select(static thought => thought.Text));
        messages.Add(new ChatMessage(ChatRole.Assistant, parts) { ToolCalls = calls, Thoughts = thoughts ?? [], Reasoning = said.Length == 0 ? null : said });
    }

    private ToolInvocation ReadCall(JsonElement block, string path)
    {
        List<KeyValuePair<string, JsonElement>>? others = null;
        var input = "{}";
        foreach (var member in block.EnumerateObject())
        {
            if (member.NameEquals("input"u8)) input = member.Value.GetRawText();
            else if (member.Name is not ("type" or "id" or "name") && !AnthropicJson.IsDirectCaller(member))
                (others ??= []).Add(new(member.Name, member.Value.Clone()));
        }

        if (TextOf(block, "name", path) is not { } name)
        {
            fields.Fail($"{path}.name", $"\"{path}.name\" is missing");
            name = "";
        }

        var call = new ToolInvocation(TextOf(block, "id", path) is { } id ? AnthropicCallId.Restored(id) : null, name, input);
        return others is null ? call : call with { Unknown = others };
    }

    private void ReadPart(JsonElement block, string path, List<ContentPart> parts)
    {
        var type = TypeOf(block, path);
        switch (type)
        {
            case null:
                break;
            case "text":
                parts.Add(new ContentPart.Text(TextOf(block, "text", path) ?? "") { Unknown = block.Others("text") });
                break;
            case "image" when block.TryGetProperty("source"u8, out var source) && fields.IsObject(source, $"{path}.source")
                && ReadImage(source, $"{path}.source") is { } image:
                parts.Add(image with { Unknown = block.Others("source") });
                break;
            default:
                parts.Add(new ContentPart.Other(type, block.Clone()));
                break;
        }
    }

    /// <summary>Null for an image in Anthropic's file store.</summary>
    private ContentPart.Image? ReadImage(JsonElement source, string path) => TextOf(source, "type", path) switch
    {
        "base64" => new(TextOf(source, "media_type", path), TextOf(source, "data", path) ?? "", null),
        "url" => new(null, null, TextOf(source, "url", path) ?? ""),
        _ => null,
    };

    private bool IsBlocks(JsonElement value, string path)
    {
        if (value.ValueKind is JsonValueKind.Array) return true;
        fields.Fail(path, $"\"{path}\" must be a string or a list of blocks");
        return false;
    }

    private string? TypeOf(JsonElement block, string path)
    {
        if (!fields.IsObject(block, path)) return null;
        var type = TextOf(block, "type", path);
        if (type is null) fields.Fail($"{path}.type", $"\"{path}.type\" is missing");
        return type;
    }

    private string? TextOf(JsonElement value, string name, string path) =>
        value.TryGetProperty(name, out var member) ? fields.Text(member, $"{path}.{name}") : null;
}
