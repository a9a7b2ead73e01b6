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
            json.WriteOptional("max_tokens"u8, limit);
            json.WriteAll(request.AsItCame);
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
            json.WriteStartOfType("thinking"u8, "enabled"u8);
            json.WriteNumber("budget_tokens"u8, tokens);
            json.WriteEndObject();
        }
        else if (request.Thinking is { Enabled: false })
        {
            json.WriteObject("thinking"u8, "type"u8, "disabled");
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
            WriteAlone("system"u8, alone);
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
            WriteAlone("content"u8, text);
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

    private void WriteAlone(ReadOnlySpan<byte> name, ContentPart.Text text)
    {
        json.WriteString(name, text.Value);
        NamePartLosses(text);
    }

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
            json.WriteStartOfType("tool_use"u8);
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
            json.WriteStartOfType(thought.Redacted is null ? "thinking"u8 : "redacted_thinking"u8);
            if (thought.Redacted is { } sealedThought)
            {
                json.WriteString("data"u8, sealedThought);
            }
            else
            {
                json.WriteString("thinking"u8, thought.Text);
                json.WriteOptional("signature"u8, thought.Signature);
            }

            json.WriteEndObject();
        }
    }

    private void WriteToolResult(ChatMessage message, int number)
    {
        json.WriteStartOfType("tool_result"u8);
        json.WriteString("tool_use_id"u8, AnthropicCallId.Safe(message.ToolCallId ?? turns.IdAnswered(number) ?? ""));
        if (message.Content is [ContentPart.Text alone] && IsPlain(alone))
        {
            WriteAlone("content"u8, alone);
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
                json.WriteStartOfType("text"u8);
                json.WriteString("text"u8, text.Value);
                break;
            case ContentPart.Image image:
                json.WriteStartOfType("image"u8);
                json.WriteStartOfType("source"u8, image.Url is null ? "base64"u8 : "url"u8);
                json.WriteOptional("url"u8, image.Url);
                if (image.Url is null)
                {
                    json.WriteString("media_type"u8, ImageText.MediaType(image));
                    json.WriteString("data"u8, image.Base64);
                }

                json.WriteEndObject();
                lost.AddIf(image.Detail is not null, "messages[].content[].image_url.detail");
                break;
        }

        NamePartLosses(part);
        json.WriteEndObject();
    }

    private void NameMessageLosses(ChatMessage message)
    {
        if (own) return;
        lost.AddIf(message.Name is not null && message.Role is not ChatRole.Tool, "messages[].name");
        lost.AddIf(message.Reasoning is { Length: > 0 }, "messages[].reasoning");
        lost.AddNames("messages[].", message.Unknown);
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

        if (!any) return; // the API rejects a tool_choice without tools
        json.WriteEndArray();
        var choice = request.ToolChoice;
        if (choice is null && request.ParallelToolCalls is not false) return;
        json.WriteStartOfType("tool_choice"u8, choice switch
        {
            { Name: not null } => "tool"u8,
            { Mode: "required" } => "any"u8,
            { Mode: "none" } => "none"u8,
            _ => "auto"u8
        });
        json.WriteOptional("name"u8, choice?.Name);
        if (request.ParallelToolCalls is { } parallel && choice?.Mode is not "none" && (own || !parallel))
            json.WriteBoolean("disable_parallel_tool_use"u8, !parallel);
        json.WriteEndObject();
    }

    private void WriteTool(ToolDefinition tool)
    {
        json.WriteStartObject();
        json.WriteString("name"u8, tool.Name);
        json.WriteOptional("description"u8, tool.Description);
        if (tool.Parameters is { ValueKind: JsonValueKind.Object } schema) json.WriteAsItCame("input_schema", schema);
        else json.WriteObject("input_schema"u8, "type"u8, "object");
        json.WriteOptional("strict"u8, tool.Strict);
        json.WriteEndObject();
    }

    private void WriteSampling()
    {
        var sampling = request.Sampling;
        json.WriteOptional("temperature"u8, sampling.Temperature);
        json.WriteOptional("top_p"u8, sampling.TopP);
        json.WriteOptional("top_k"u8, sampling.TopK);
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
        json.WriteStartOfType("format"u8, "json_schema"u8);
        json.WriteAsItCame("schema", schema);
        json.WriteEndObject();
        json.WriteEndObject();
    }

    private void WriteUser()
    {
        if (own && request.Unknown.Find("metadata") is { } metadata) json.WriteAsItCame("metadata", metadata);
        else if (request.User is { } user) json.WriteObject("metadata"u8, "user_id"u8, user);
    }
}
