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
    private string? effort;

    public ChatRequest Read(JsonElement root, bool limited)
    {
        var request = new ChatRequest { Origin = DialectName.Anthropic, Model = "", Messages = messages };
        foreach (var member in root.EnumerateObject())
        {
            if (ReadMember(member, request) is { } read) request = read;
            else fields.Unknown.Keep(member);
        }

        if (root.TryGetProperty("messages"u8, out var list)) ReadMessages(list);
        else fields.Fail("messages", "the body has no \"messages\"; send at least one");
        var limit = request.Sampling.MaxTokens;
        if (limited && limit is null) fields.Fail("max_tokens", "\"max_tokens\" is missing; say how many tokens the answer may have");
        if (limited && limit <= 0) fields.Fail("max_tokens", "\"max_tokens\" must be above 0");
        fields.NeedModel(request);
        return request with { Thinking = ReadThinking(root), IncludeUsage = request.Stream }; // this dialect always reports usage
    }

    /// <summary>The request with the member. Null for a member that only this dialect has; it is kept as it came.</summary>
    private ChatRequest? ReadMember(JsonProperty member, ChatRequest request)
    {
        var (name, value) = (member.Name, member.Value);
        var isNull = value.ValueKind is JsonValueKind.Null;
        if (name is "tool_choice" or "thinking" or "output_config" or "metadata" && (isNull || !fields.IsObject(value, name))) return request;
        if (name is "thinking" or "output_config") fields.AsItCame.Keep(member);
        if (name is "system" && !isNull) messages.Insert(0, new ChatMessage(ChatRole.System, ReadTexts(value, name)));
        return name switch
        {
            "messages" or "thinking" or "system" => request, // messages and thinking are read after all other members
            "model" => request with { Model = fields.Text(value, name) ?? "" },
            "max_tokens" => request with { Sampling = request.Sampling with { MaxTokens = fields.Count(value, name) } },
            "stream" => request with { Stream = fields.Flag(value, name) ?? false },
            "temperature" or "top_p" or "top_k" => SamplingJson.Read(member, fields, request),
            "stop_sequences" => request with { Sampling = request.Sampling with { Stop = fields.Texts(value, name) } },
            "tools" => isNull ? request : request with { Tools = fields.Objects(value, name, static (item, _) => ReadTool(item)) },
            "tool_choice" => ReadToolChoice(request, value),
            "output_config" => ReadOutputConfig(request, value),
            "output_format" => ReadOutputFormat(request, member),
            "metadata" => ReadMetadata(request, member),
            _ => null,
        };
    }

    private ChatRequest ReadMetadata(ChatRequest request, JsonProperty metadata)
    {
        if (metadata.Value.EnumerateObject().Any(static part => part.Name != "user_id")) fields.Unknown.Keep(metadata);
        return metadata.Value.TryGetProperty("user_id"u8, out var user) ? request with { User = fields.Text(user, "metadata.user_id") } : request;
    }

    private ChatRequest ReadOutputFormat(ChatRequest request, JsonProperty member)
    {
        if (ReadFormat(member.Value, member.Name) is not { } format) return request;
        fields.AsItCame.Keep(member);
        return request with { Format = format };
    }

    private ChatRequest ReadOutputConfig(ChatRequest request, JsonElement config)
    {
        foreach (var part in config.EnumerateObject())
        {
            if (part.NameEquals("effort"u8)) effort = fields.Text(part.Value, "output_config.effort");
            else if (part.NameEquals("format"u8)) request = request with { Format = ReadFormat(part.Value, "output_config.format") ?? request.Format };
            else fields.Unknown.Keep($"output_config.{part.Name}", part.Value);
        }

        return request;
    }

    /// <summary>Converts a thinking budget in tokens into an effort level, for dialects that have only levels.</summary>
    private static string EffortOf(int budget) => budget switch { < 4096 => "low", < 16384 => "medium", _ => "high" };

    private Thinking? ReadThinking(JsonElement root)
    {
        if (!root.TryGetProperty("thinking"u8, out var said) || said.ValueKind is not JsonValueKind.Object)
            return effort is null ? null : new Thinking(true, effort);
        switch (TextOf(said, "type", "thinking"))
        {
            case "disabled":
                return new Thinking(false);
            case "enabled":
                var budget = said.TryGetProperty("budget_tokens"u8, out var tokens) ? fields.Count(tokens, "thinking.budget_tokens") : null;
                return new Thinking(true, effort ?? (budget is { } some ? EffortOf(some) : null)) { Budget = budget };
            case null:
                fields.Missing("thinking.type");
                return null;
            default: // "adaptive", or a type newer than this code: the model decides how much it thinks
                return new Thinking(true, effort);
        }
    }

    private OutputFormat? ReadFormat(JsonElement value, string path)
    {
        if (value.ValueKind is JsonValueKind.Null || !fields.IsObject(value, path)) return null;
        if (value.TryGetProperty("schema"u8, out var schema) && schema.ValueKind is JsonValueKind.Object) return new OutputFormat(schema.Clone());
        fields.Unknown.Keep(path, value);
        return null;
    }

    private static ToolDefinition ReadTool(JsonElement item)
    {
        var tool = DescribedSchema.Read(item, "input_schema", out var whole);
        var own = item.TryGetProperty("type"u8, out var type) && type.ValueKind is JsonValueKind.String && !type.ValueEquals("custom"u8);
        // One of Anthropic's built-in tools (web search, computer use, text editor). Only Anthropic's models and servers know what it does.
        if (own || tool.Schema is null) return new ToolDefinition("", null, null) { Raw = item.Clone() };
        return new ToolDefinition(tool.Name ?? "", tool.Description, tool.Schema) { Strict = tool.Strict, Raw = whole ? null : item.Clone() };
    }

    private ChatRequest ReadToolChoice(ChatRequest request, JsonElement value)
    {
        var type = TextOf(value, "type", "tool_choice");
        var choice = type switch
        {
            "auto" or "none" => new ToolChoice(type),
            "any" => new ToolChoice("required"),
            "tool" => new ToolChoice("function", TextOf(value, "name", "tool_choice")),
            _ => null,
        };
        if (choice is null) fields.Fail("tool_choice.type", "\"tool_choice.type\" must be auto, any, tool or none");
        else if (choice is { Mode: "function", Name: null }) fields.Missing("tool_choice.name");
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
                else (others ??= []).Keep(member);
            }

            var before = messages.Count;
            switch (role)
            {
                case "user": ReadUser(content, path); break;
                case "assistant": ReadAssistant(content, path); break;
                case "system": messages.Add(new ChatMessage(ChatRole.System, content is { } texts ? ReadTexts(texts, $"{path}.content") : [])); break;
                case null: fields.Missing($"{path}.role"); return;
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
            else fields.Missing($"{path}.content");
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
        var others = new List<KeyValuePair<string, JsonElement>>();
        foreach (var member in block.EnumerateObject())
        {
            var (value, at) = (member.Value, $"{path}.{member.Name}");
            var read = member.Name switch
            {
                "type" => message,
                "tool_use_id" => message with { ToolCallId = fields.Text(value, at) is { } id ? AnthropicCallId.Restored(id) : null },
                "is_error" => message with { ToolFailed = fields.Flag(value, at) ?? false },
                "content" => value.ValueKind is JsonValueKind.Null ? message : message with { Content = ReadTexts(value, at) },
                _ => null,
            };
            if (read is null) others.Keep(member);
            message = read ?? message;
        }

        if (message.ToolCallId is null) fields.Missing($"{path}.tool_use_id");
        return message with { Unknown = others };
    }

    private void ReadAssistant(JsonElement? value, string path)
    {
        var parts = new List<ContentPart>();
        var calls = new List<ToolInvocation>();
        List<Thought>? thoughts = null;
        if (value is not { } content) fields.Missing($"{path}.content");
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
        var others = new List<KeyValuePair<string, JsonElement>>();
        var input = "{}";
        foreach (var member in block.EnumerateObject())
        {
            if (member.NameEquals("input"u8)) input = member.Value.GetRawText();
            else if (member.Name is not ("type" or "id" or "name") && !AnthropicJson.IsDirectCaller(member)) others.Keep(member);
        }

        var name = TextOf(block, "name", path);
        if (name is null) fields.Missing($"{path}.name");
        return new ToolInvocation(TextOf(block, "id", path) is { } id ? AnthropicCallId.Restored(id) : null, name ?? "", input) { Unknown = others };
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
        if (type is null) fields.Missing($"{path}.type");
        return type;
    }

    private string? TextOf(JsonElement value, string name, string path) =>
        value.TryGetProperty(name, out var member) ? fields.Text(member, $"{path}.{name}") : null;
}
