using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.Anthropic;

/// <summary>
/// Writes one request. Neighbouring messages of the same role become one message, because the API requires user and assistant to alternate; tool results count
/// as the user's. A leading system message becomes the top-level <c>system</c> member. In a request that came in Anthropic's format, system messages may also
/// stand later, and stay where they are.
/// </summary>
internal sealed class AnthropicRequestWriter(ChatRequest request, Utf8JsonWriter json, List<string> lost)
{
    /// <summary><c>max_tokens</c> if the client gave none. The API requires a number, and hosts with a short context refuse a large one.</summary>
    private const int DefaultLimit = 4096;

    /// <summary>The smallest thinking budget that the API accepts.</summary>
    private const int LeastBudget = 1024;

    private readonly bool own = request.Origin is DialectName.Anthropic;
    private readonly ToolTurns turns = new(request.Messages);

    public void Write(string model)
    {
        json.WriteStartObject();
        json.WriteString("model"u8, model);
        WriteLimitAndThinking();
        WriteSystem();
        WriteMessages();
        WriteTools();
        if (request.Stream || !own) json.WriteBoolean("stream"u8, request.Stream); // some hosts stream unless told not to
        WriteSampling();
        WriteFormat();
        WriteUser();
        SamplingJson.NameLosses(request, lost);
        foreach (var member in request.Unknown)
        {
            if (!own) lost.Add(member.Key);
            else if (member.Key is not "metadata" && !member.Key.StartsWith("output_config.", StringComparison.Ordinal))
                json.WriteAsItCame(member.Key, member.Value);
        }

        json.WriteEndObject();
    }

    private void WriteLimitAndThinking()
    {
        int? limit = request.Sampling.MaxTokens is { } said and > 0 ? said : null;
        if (own)
        {
            if (limit is { } asked) json.WriteNumber("max_tokens"u8, asked);
            foreach (var member in request.AsItCame) json.WriteAsItCame(member.Key, member.Value);
            return;
        }

        int? budget = null;
        if (request.Thinking is { Enabled: true } thinking)
        {
            var wanted = thinking.Budget ?? thinking.Effort switch { "minimal" or "low" => 2048, "high" => 16384, "xhigh" or "max" => 32768, _ => 8192 };
            // max_tokens covers thinking and answer together, so thinking gets at most half of it.
            budget = limit is { } most ? Math.Min(wanted, most / 2) : wanted;
            if (budget < LeastBudget || InToolTurn()) budget = null;
            if (budget is null) lost.Add("thinking");
        }

        json.WriteNumber("max_tokens"u8, limit ?? (DefaultLimit + (budget ?? 0)));
        if (budget is { } tokens)
        {
            json.WriteStartObject("thinking"u8);
            json.WriteString("type"u8, "enabled"u8);
            json.WriteNumber("budget_tokens"u8, tokens);
            json.WriteEndObject();
        }
        else if (request.Thinking is { Enabled: false })
        {
            json.WriteStartObject("thinking"u8);
            json.WriteString("type"u8, "disabled"u8);
            json.WriteEndObject();
        }
    }

    /// <summary>
    /// True while a tool result is being sent back. With thinking enabled the API then requires the signed thought that preceded the call, and no other dialect
    /// keeps it.
    /// </summary>
    private bool InToolTurn()
    {
        for (var i = request.Messages.Count - 1; i >= 0 && request.Messages[i].Role is not ChatRole.Assistant; i--)
        {
            if (request.Messages[i].Role is ChatRole.Tool) return true;
        }

        return false;
    }

    private void WriteSystem()
    {
        if (request.Messages is not [var first, ..] || !IsSystem(first)) return;
        var parts = first.Content.OfType<ContentPart.Text>().Where(static part => part.Value.Length > 0).ToList();
        if (parts.Count == 0) return;
        if (parts is [var alone] && IsPlain(alone))
        {
            json.WriteString("system"u8, alone.Value);
            NamePartLosses(alone);
            return;
        }

        json.WriteStartArray("system"u8);
        foreach (var part in parts) WritePart(part);
        json.WriteEndArray();
    }

    private static bool IsSystem(ChatMessage message) => message.Role is ChatRole.System or ChatRole.Developer;

    /// <summary>The message's role in Anthropic's format, where a tool result belongs to the user.</summary>
    private static ReadOnlySpan<byte> Side(ChatMessage message) =>
        IsSystem(message) ? "system"u8 : message.Role is ChatRole.Assistant ? "assistant"u8 : "user"u8;

    private void WriteMessages()
    {
        var messages = request.Messages;
        json.WriteStartArray("messages"u8);
        var i = 0;
        if (messages is [var first, ..] && IsSystem(first)) NameMessageLosses(messages[i++]);
        while (i < messages.Count)
        {
            var side = Side(messages[i]);
            var end = i + 1;
            while (end < messages.Count && side.SequenceEqual(Side(messages[end]))) end++;
            WriteTurn(i, end, side);
            i = end;
        }

        json.WriteEndArray();
    }

    /// <summary>
    /// Writes neighbouring messages of one role as one message. An assistant message without content is left out, because the API rejects it.
    /// </summary>
    private void WriteTurn(int first, int end, ReadOnlySpan<byte> side)
    {
        var turn = Enumerable.Range(first, end - first);
        foreach (var i in turn) NameMessageLosses(request.Messages[i]);
        var says = turn.Any(i => Says(request.Messages[i]));
        if (!says && side.SequenceEqual("assistant"u8)) return;

        json.WriteStartObject();
        json.WriteString("role"u8, side);
        if (!says)
        {
            json.WriteString("content"u8, ""u8);
        }
        else if (end - first == 1
            && request.Messages[first] is { Role: not ChatRole.Tool, ToolCalls.Count: 0, Thoughts.Count: 0, Refusal: null, Content: [ContentPart.Text text] }
            && IsPlain(text))
        {
            json.WriteString("content"u8, text.Value);
            NamePartLosses(text);
        }
        else
        {
            json.WriteStartArray("content"u8);
            foreach (var i in turn) WriteBlocks(i);
            json.WriteEndArray();
        }

        if (own)
        {
            foreach (var i in turn.Where(i => request.Messages[i].Role is not ChatRole.Tool)) json.WriteAll(request.Messages[i].Unknown);
        }

        json.WriteEndObject();
    }

    /// <summary>True if the text can be written as a plain string. A text with extra members of Anthropic's own format has to remain a block.</summary>
    private bool IsPlain(ContentPart.Text text) => !own || text.Unknown.Count == 0;

    private void NamePartLosses(ContentPart part) => json.WriteOrLose(part.Unknown, own, "messages[].content[].", lost);

    private bool Says(ChatMessage message) =>
        message.Role is ChatRole.Tool || message.ToolCalls.Count > 0 || (own && message.Thoughts.Count > 0) || message.Refusal is { Length: > 0 }
            || message.Content.Any(static part => part is not ContentPart.Text { Value.Length: 0 });

    private void WriteBlocks(int number)
    {
        var message = request.Messages[number];
        if (message.Role is ChatRole.Tool)
        {
            WriteToolResult(message, number);
            return;
        }

        var at = 0;
        foreach (var part in message.Content)
        {
            WriteThoughts(message, at++);
            WritePart(part);
        }

        if (message.Refusal is { Length: > 0 } refusal) WritePart(new ContentPart.Text(refusal));
        for (var j = 0; j < message.ToolCalls.Count; j++)
        {
            WriteThoughts(message, at++);
            var call = message.ToolCalls[j];
            json.WriteStartObject();
            json.WriteString("type"u8, "tool_use"u8);
            json.WriteString("id"u8, AnthropicCallId.Safe(turns.IdOfCall(number, j)));
            json.WriteString("name"u8, call.Name);
            ToolJson.WriteArguments(json, "input"u8, call.Arguments);
            if (!string.IsNullOrWhiteSpace(call.Arguments) && !WireJson.IsObject(call.Arguments)) lost.Add("messages[].tool_calls[].function.arguments");
            if (own) json.WriteAll(call.Unknown);
            json.WriteEndObject();
        }

        WriteThoughts(message, at);
    }

    private void WriteThoughts(ChatMessage message, int position)
    {
        foreach (var thought in message.Thoughts)
        {
            if (!own || thought.Position != position) continue; // a thought signed by another vendor is of no use to Anthropic
            json.WriteStartObject();
            json.WriteString("type"u8, thought.Redacted is null ? "thinking"u8 : "redacted_thinking"u8);
            if (thought.Redacted is { } sealedThought)
            {
                json.WriteString("data"u8, sealedThought);
            }
            else
            {
                json.WriteString("thinking"u8, thought.Text);
                if (thought.Signature is { } signature) json.WriteString("signature"u8, signature);
            }

            json.WriteEndObject();
        }
    }

    private void WriteToolResult(ChatMessage message, int number)
    {
        json.WriteStartObject();
        json.WriteString("type"u8, "tool_result"u8);
        json.WriteString("tool_use_id"u8, AnthropicCallId.Safe(message.ToolCallId ?? turns.IdAnswered(number) ?? ""));
        if (message.Content is [ContentPart.Text alone] && IsPlain(alone))
        {
            json.WriteString("content"u8, alone.Value);
            NamePartLosses(alone);
        }
        else if (message.Content.Count > 0)
        {
            json.WriteStartArray("content"u8);
            foreach (var part in message.Content) WritePart(part);
            json.WriteEndArray();
        }

        if (message.ToolFailed) json.WriteBoolean("is_error"u8, true);
        if (own) json.WriteAll(message.Unknown);
        json.WriteEndObject();
    }

    private void WritePart(ContentPart part)
    {
        switch (part)
        {
            case ContentPart.Text { Value.Length: 0 }: // the API rejects an empty text
                return;
            case ContentPart.Other other:
                json.WriteAsItCame(other.Raw);
                return;
            case ContentPart.Text text:
                json.WriteStartObject();
                json.WriteString("type"u8, "text"u8);
                json.WriteString("text"u8, text.Value);
                break;
            case ContentPart.Image image:
                json.WriteStartObject();
                json.WriteString("type"u8, "image"u8);
                json.WriteStartObject("source"u8);
                json.WriteString("type"u8, image.Url is null ? "base64"u8 : "url"u8);
                if (image.Url is { } url)
                {
                    json.WriteString("url"u8, url);
                }
                else
                {
                    json.WriteString("media_type"u8, ImageText.MediaType(image));
                    json.WriteString("data"u8, image.Base64);
                }

                json.WriteEndObject();
                if (image.Detail is not null) lost.Add("messages[].content[].image_url.detail");
                break;
        }

        NamePartLosses(part);
        json.WriteEndObject();
    }

    private void NameMessageLosses(ChatMessage message)
    {
        if (own) return;
        if (message.Name is not null && message.Role is not ChatRole.Tool) lost.Add("messages[].name");
        if (message.Reasoning is { Length: > 0 }) lost.Add("messages[].reasoning");
        foreach (var member in message.Unknown) lost.Add($"messages[].{member.Key}");
    }

    private void WriteTools()
    {
        var any = false;
        foreach (var tool in request.Tools)
        {
            if (!own) ToolJson.NameLosses(tool, lost);
            if (tool.Name.Length == 0 && !own) continue;
            if (!any) json.WriteStartArray("tools"u8);
            any = true;
            if (own && tool.Raw is { } raw) json.WriteAsItCame(raw);
            else WriteTool(tool);
        }

        if (any) json.WriteEndArray();
        if (!any) return; // the API rejects a tool_choice without tools
        var choice = request.ToolChoice;
        if (choice is null && request.ParallelToolCalls is not false) return;
        json.WriteStartObject("tool_choice"u8);
        json.WriteString("type"u8, choice switch
        {
            { Name: not null } => "tool"u8,
            { Mode: "required" } => "any"u8,
            { Mode: "none" } => "none"u8,
            _ => "auto"u8
        });
        if (choice?.Name is { } name) json.WriteString("name"u8, name);
        if (request.ParallelToolCalls is { } parallel && choice?.Mode is not "none" && (own || !parallel))
            json.WriteBoolean("disable_parallel_tool_use"u8, !parallel);
        json.WriteEndObject();
    }

    private void WriteTool(ToolDefinition tool)
    {
        json.WriteStartObject();
        json.WriteString("name"u8, tool.Name);
        if (tool.Description is { } description) json.WriteString("description"u8, description);
        if (tool.Parameters is { ValueKind: JsonValueKind.Object } schema)
        {
            json.WriteAsItCame("input_schema", schema);
        }
        else
        {
            json.WriteStartObject("input_schema"u8);
            json.WriteString("type"u8, "object"u8);
            json.WriteEndObject();
        }

        if (tool.Strict is { } strict) json.WriteBoolean("strict"u8, strict);
        json.WriteEndObject();
    }

    private void WriteSampling()
    {
        var sampling = request.Sampling;
        if (sampling.Temperature is { } temperature) json.WriteNumber("temperature"u8, temperature);
        if (sampling.TopP is { } topP) json.WriteNumber("top_p"u8, topP);
        if (sampling.TopK is { } topK) json.WriteNumber("top_k"u8, topK);
        json.WriteTexts("stop_sequences"u8, sampling.Stop);
    }

    private void WriteFormat()
    {
        if (own || request.Format is not { } format) return;
        if (format.Schema is not { } schema)
        {
            lost.Add("response_format"); // the API has no JSON mode without a schema
            return;
        }

        json.WriteStartObject("output_config"u8);
        json.WriteStartObject("format"u8);
        json.WriteString("type"u8, "json_schema"u8);
        json.WriteAsItCame("schema", schema);
        json.WriteEndObject();
        json.WriteEndObject();
    }

    private void WriteUser()
    {
        if (own && request.Unknown.Find("metadata") is { } metadata)
        {
            json.WriteAsItCame("metadata", metadata);
        }
        else if (request.User is { } user)
        {
            json.WriteStartObject("metadata"u8);
            json.WriteString("user_id"u8, user);
            json.WriteEndObject();
        }
    }
}
