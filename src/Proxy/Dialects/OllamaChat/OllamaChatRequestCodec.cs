using System.Buffers;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OllamaChat;

/// <summary>Requests of <c>/api/chat</c>, both ways.</summary>
internal static class OllamaChatRequestCodec
{
    public static ProxyError? Read(ReadOnlyMemory<byte> body, out ChatRequest? request)
    {
        request = null;
        try
        {
            using var document = JsonDocument.Parse(body, WireJson.ReadingWhole);
            if (document.RootElement.ValueKind is not JsonValueKind.Object) return new ProxyError(ProxyErrorKind.InvalidRequest, "the body must be a JSON object");

            var fields = new RequestFields();
            var read = ReadRequest(document.RootElement, fields);
            if (fields.Problem is { } problem) return problem;
            request = read;
            return null;
        }
        catch (Exception problem) when (problem is JsonException or InvalidOperationException) // not JSON, or text that is not Unicode
        {
            return new ProxyError(ProxyErrorKind.InvalidRequest, $"the body is not valid JSON: {problem.Message}");
        }
    }

    private static ChatRequest ReadRequest(JsonElement root, RequestFields fields)
    {
        var request = new ChatRequest { Origin = DialectName.OllamaChat, Model = "", Messages = [], Stream = true };
        var unknown = new List<KeyValuePair<string, JsonElement>>();
        foreach (var member in root.EnumerateObject())
        {
            var value = member.Value;
            switch (member.Name)
            {
                case "model":
                    request = request with { Model = fields.Text(value, "model") ?? "" };
                    break;
                case "messages":
                    if (value.ValueKind is not JsonValueKind.Null) request = request with { Messages = ReadMessages(value, fields) };
                    break;
                case "stream":
                    request = request with { Stream = fields.Flag(value, "stream") ?? true };
                    break;
                case "tools":
                    if (value.ValueKind is not JsonValueKind.Null) request = request with { Tools = ToolJson.Read(value, fields) };
                    break;
                case "format":
                    if (value.ValueKind is JsonValueKind.Object) request = request with { Format = new OutputFormat(value.Clone()) };
                    else if (value.ValueKind is JsonValueKind.String && value.ValueEquals("json"u8)) request = request with { Format = new OutputFormat(null) };
                    else if (value.ValueKind is not JsonValueKind.Null && !(value.ValueKind is JsonValueKind.String && value.ValueEquals(""u8))) Keep(unknown, member);
                    break;
                case "think":
                    if (ReadThinking(value) is { } thinking) request = request with { Thinking = thinking };
                    else if (value.ValueKind is not JsonValueKind.Null) Keep(unknown, member);
                    break;
                case "keep_alive":
                    if (value.ValueKind is not JsonValueKind.Null) request = request with { KeepAlive = value.Clone() };
                    break;
                case "logprobs":
                    request = request with { LogProbabilities = fields.Flag(value, "logprobs") };
                    break;
                case "top_logprobs":
                    request = request with { TopLogProbabilities = fields.Count(value, "top_logprobs") };
                    break;
                case "options":
                    if (value.ValueKind is not JsonValueKind.Null && fields.IsObject(value, "options")) request = request with { Sampling = ReadOptions(value, fields) };
                    break;
                default:
                    Keep(unknown, member);
                    break;
            }
        }

        if (string.IsNullOrWhiteSpace(request.Model)) fields.Fail("model", "model is required");
        return request with { Unknown = unknown, IncludeUsage = request.Stream };
    }

    private static Thinking? ReadThinking(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.True => new Thinking(true),
        JsonValueKind.False => new Thinking(false),
        JsonValueKind.String when value.GetString() is "low" or "medium" or "high" or "max" => new Thinking(true, value.GetString()),
        _ => null,
    };

    private static SamplingOptions ReadOptions(JsonElement options, RequestFields fields)
    {
        var sampling = new SamplingOptions();
        var unknown = new List<KeyValuePair<string, JsonElement>>();
        foreach (var option in options.EnumerateObject())
        {
            var value = option.Value;
            var path = $"options.{option.Name}";
            switch (option.Name)
            {
                case "num_ctx": sampling = sampling with { ContextLength = fields.Count(value, path) }; break;
                case "num_predict": sampling = sampling with { MaxTokens = fields.Count(value, path) }; break;
                case "temperature": sampling = sampling with { Temperature = fields.Number(value, path) }; break;
                case "top_p": sampling = sampling with { TopP = fields.Number(value, path) }; break;
                case "top_k": sampling = sampling with { TopK = fields.Count(value, path) }; break;
                case "min_p": sampling = sampling with { MinP = fields.Number(value, path) }; break;
                case "seed": sampling = sampling with { Seed = fields.Integer(value, path) }; break;
                case "stop": sampling = sampling with { Stop = fields.Texts(value, path) }; break;
                case "frequency_penalty": sampling = sampling with { FrequencyPenalty = fields.Number(value, path) }; break;
                case "presence_penalty": sampling = sampling with { PresencePenalty = fields.Number(value, path) }; break;
                case "repeat_penalty": sampling = sampling with { RepeatPenalty = fields.Number(value, path) }; break;
                default: Keep(unknown, option); break;
            }
        }

        return sampling with { Unknown = unknown };
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
        var content = new List<ContentPart>();
        var unknown = new List<KeyValuePair<string, JsonElement>>();
        string? role = null;
        foreach (var member in item.EnumerateObject())
        {
            var value = member.Value;
            switch (member.Name)
            {
                case "role":
                    role = fields.Text(value, $"{path}.role");
                    break;
                case "content":
                    if (fields.Text(value, $"{path}.content") is { } text) content.Insert(0, new ContentPart.Text(text));
                    break;
                case "images":
                    if (value.ValueKind is JsonValueKind.Null || !fields.IsList(value, $"{path}.images")) break;
                    foreach (var image in value.EnumerateArray()) content.Add(ReadImage(fields.Text(image, $"{path}.images") ?? ""));
                    break;
                case "thinking":
                    message = message with { Reasoning = fields.Text(value, $"{path}.thinking") };
                    break;
                case "tool_calls":
                    if (value.ValueKind is not JsonValueKind.Null) message = message with { ToolCalls = ReadToolCalls(value, $"{path}.tool_calls", fields) };
                    break;
                case "tool_name":
                    message = message with { ToolName = fields.Text(value, $"{path}.tool_name") };
                    break;
                case "tool_call_id":
                    message = message with { ToolCallId = fields.Text(value, $"{path}.tool_call_id") };
                    break;
                default:
                    Keep(unknown, member);
                    break;
            }
        }

        if (role is null) fields.Fail($"{path}.role", $"\"{path}.role\" is missing");
        ChatRole? known = role switch { "system" => ChatRole.System, "user" => ChatRole.User, "assistant" => ChatRole.Assistant, "tool" => ChatRole.Tool, _ => null };
        return message with { Role = known ?? ChatRole.User, RoleWord = known is null ? role : null, Content = content, Unknown = unknown };
    }

    /// <summary>Bare base64; a data URL, which Ollama itself refuses, is understood too.</summary>
    private static ContentPart.Image ReadImage(string text) =>
        text.StartsWith("data:", StringComparison.OrdinalIgnoreCase) ? ImageText.FromUrl(text) : new ContentPart.Image(null, text, null);

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

    private static void Keep(List<KeyValuePair<string, JsonElement>> unknown, JsonProperty member) => unknown.Add(new(member.Name, member.Value.Clone()));

    /// <summary>An image or another part that the host cannot be given is no loss to name in a log: the answer would be one to another question.</summary>
    public static ProxyError? Unsayable(ChatRequest request)
    {
        for (var i = 0; i < request.Messages.Count; i++)
        {
            var content = request.Messages[i].Content;
            for (var j = 0; j < content.Count; j++)
            {
                var path = $"messages[{i}].content[{j}]";
                if (content[j] is ContentPart.Image { Base64: null })
                    return new ProxyError(ProxyErrorKind.InvalidRequest, $"the model's host takes images only inside the request: send \"{path}\" as a data: URL with base64 instead of an address") { Param = $"{path}.image_url.url" };
                if (content[j] is ContentPart.Other other)
                    return new ProxyError(ProxyErrorKind.InvalidRequest, $"the model's host takes text and images only, and \"{path}\" is of type \"{other.Type}\"") { Param = path };
            }
        }

        return null;
    }

    public static void Write(ChatRequest request, string model, IBufferWriter<byte> output, List<string> lost)
    {
        var own = request.Origin is DialectName.OllamaChat;
        using var json = WireJson.NewWriter(output);
        json.WriteStartObject();
        json.WriteString("model"u8, model);
        WriteMessages(json, request.Messages, own, lost);
        WriteTools(json, request, own, lost);
        json.WriteBoolean("stream"u8, request.Stream);
        if (request.Format is { } format)
        {
            if (format.Schema is { } schema) json.WriteAsItCame("format", schema);
            else json.WriteString("format"u8, "json"u8);
        }

        WriteThinking(json, request, lost);
        if (request.KeepAlive is { } keepAlive) json.WriteAsItCame("keep_alive", keepAlive);
        if (request.LogProbabilities is { } probabilities) json.WriteBoolean("logprobs"u8, probabilities);
        if (request.TopLogProbabilities is { } top) json.WriteNumber("top_logprobs"u8, top);
        WriteOptions(json, request.Sampling, own);
        if (request.Choices is > 1) lost.Add("n");
        if (request.User is not null) lost.Add("user");
        foreach (var member in request.Unknown)
        {
            if (own) json.WriteAsItCame(member.Key, member.Value);
            else lost.Add(member.Key);
        }

        json.WriteEndObject();
    }

    private static void WriteTools(Utf8JsonWriter json, ChatRequest request, bool own, List<string> lost)
    {
        if (request.ParallelToolCalls is false) lost.Add("parallel_tool_calls");
        if (request.ToolChoice is { Mode: "none" }) return; // no tools, no calls

        var tools = request.Tools;
        if (request.ToolChoice is { Mode: not "auto" } choice)
        {
            lost.Add("tool_choice"); // it may still answer in words
            if (choice.Name is { } name) tools = [.. tools.Where(tool => tool.Name == name)];
        }

        ToolJson.Write(json, tools, own, strict: false, lost);
    }

    private static void WriteThinking(Utf8JsonWriter json, ChatRequest request, List<string> lost)
    {
        if (request.Thinking is not { } thinking) return;
        if (thinking.Enabled && request.Origin is DialectName.Anthropic)
        {
            // Agents of Anthropic's ask every model to think. Ollama's thinking models do unless told not to; the others refuse a call that asks for it.
            if (thinking.Budget is not null) lost.Add("thinking.budget_tokens");
            else if (thinking.Effort is not null) lost.Add("output_config.effort");
            return;
        }

        if (!thinking.Enabled)
        {
            json.WriteBoolean("think"u8, false);
            return;
        }

        switch (thinking.Effort)
        {
            case "minimal" or "low": json.WriteString("think"u8, "low"u8); break;
            case "medium": json.WriteString("think"u8, "medium"u8); break;
            case "high": json.WriteString("think"u8, "high"u8); break;
            case "xhigh" or "max": json.WriteString("think"u8, "max"u8); break;
            default: json.WriteBoolean("think"u8, true); break;
        }
    }

    private static void WriteOptions(Utf8JsonWriter json, SamplingOptions sampling, bool own)
    {
        json.WriteStartObject("options"u8);
        if (sampling.ContextLength is { } context) json.WriteNumber("num_ctx"u8, context);
        if (sampling.MaxTokens is { } limit) json.WriteNumber("num_predict"u8, limit);
        if (sampling.Temperature is { } temperature) json.WriteNumber("temperature"u8, temperature);
        if (sampling.TopP is { } topP) json.WriteNumber("top_p"u8, topP);
        if (sampling.TopK is { } topK) json.WriteNumber("top_k"u8, topK);
        if (sampling.MinP is { } minP) json.WriteNumber("min_p"u8, minP);
        if (sampling.Seed is { } seed) json.WriteNumber("seed"u8, seed);
        if (sampling.FrequencyPenalty is { } frequency) json.WriteNumber("frequency_penalty"u8, frequency);
        if (sampling.PresencePenalty is { } presence) json.WriteNumber("presence_penalty"u8, presence);
        if (sampling.RepeatPenalty is { } repeat) json.WriteNumber("repeat_penalty"u8, repeat);
        if (sampling.Stop.Count > 0)
        {
            json.WriteStartArray("stop"u8);
            foreach (var stop in sampling.Stop) json.WriteStringValue(stop);
            json.WriteEndArray();
        }

        if (own) json.WriteAll(sampling.Unknown);
        json.WriteEndObject();
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
            if ((message.ToolName ?? turns.NameAnswered(i) ?? (message.Role is ChatRole.Tool ? message.Name : null)) is { } tool) json.WriteString("tool_name"u8, tool);
            if ((message.ToolCallId ?? (own ? null : turns.IdAnswered(i))) is { } id) json.WriteString("tool_call_id"u8, id);
            if (message.Name is not null && message.Role is not ChatRole.Tool) lost.Add("messages[].name");
            MessageLosses.Name(message, lost);
            foreach (var member in message.Unknown)
            {
                if (own) json.WriteAsItCame(member.Key, member.Value);
                else lost.Add($"messages[].{member.Key}");
            }

            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    private static string Word(ChatMessage message) => message.Role switch
    {
        ChatRole.Tool => "tool", // OpenAI's old "function" is one
        _ when message.RoleWord is { } word => word,
        ChatRole.System or ChatRole.Developer => "system",
        ChatRole.User => "user",
        _ => "assistant",
    };

    private static void WriteContent(Utf8JsonWriter json, ChatMessage message, List<string> lost)
    {
        var texts = new List<string>();
        var images = false;
        foreach (var part in message.Content)
        {
            if (part is ContentPart.Text text) texts.Add(text.Value);
            images |= part is ContentPart.Image;
            if (part is ContentPart.Image { Detail: not null }) lost.Add("messages[].content[].image_url.detail");
            foreach (var member in part.Unknown) lost.Add($"messages[].content[].{member.Key}");
        }

        if (message.Refusal is { } refusal) texts.Add(refusal);
        json.WriteString("content"u8, texts is [var alone] ? alone : string.Join('\n', texts));
        if (!images) return;
        json.WriteStartArray("images"u8);
        foreach (var part in message.Content)
        {
            if (part is ContentPart.Image { Base64: { } base64 }) json.WriteStringValue(base64);
        }

        json.WriteEndArray();
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
