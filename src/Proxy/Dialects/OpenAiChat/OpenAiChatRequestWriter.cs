using System.Buffers;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OpenAiChat;

/// <summary>
/// Writes a request of <c>/v1/chat/completions</c>: for a request that came in this dialect with the member names it came with, otherwise from another
/// dialect's request.
/// </summary>
internal static class OpenAiChatRequestWriter
{
    public static void Write(ChatRequest request, string model, IBufferWriter<byte> output, List<string> lost)
    {
        var own = request.Origin is DialectName.OpenAiChat;
        request = TranslatedRequest.For(DialectName.OpenAiChat, request);
        using var json = WireJson.NewWriter(output);
        json.WriteStartObject();
        json.WriteString("model"u8, model);
        WriteMessages(json, request.Messages, own, lost);
        if (request.Stream || !own) json.WriteBoolean("stream"u8, request.Stream); // some hosts stream unless told not to
        OpenAiMembers.WriteStreamOptions(json, request, own);
        WriteTools(json, request, own, lost);
        if (!own || !request.AsItCame.Has("response_format")) OpenAiFormat.Write(json, request.Format);
        WriteThinking(json, request.Thinking, own, lost);
        json.WriteOptional("logprobs"u8, request.LogProbabilities);
        json.WriteOptional("top_logprobs"u8, request.TopLogProbabilities);
        OpenAiMembers.Write(json, request, own, lost);
        foreach (var member in request.AsItCame)
        {
            // the other entries only record which name the client used
            if (own && member.Key is ("response_format" or "max_tokens")) json.WriteAsItCame(member.Key, member.Value);
        }

        json.WriteEndObject();
    }

    private static void WriteTools(Utf8JsonWriter json, ChatRequest request, bool own, List<string> lost)
    {
        ToolJson.Write(json, request.Tools, own, strict: true, lost);
        if (request.ToolChoice is { Name: { } chosen })
        {
            json.WriteStartOfType("tool_choice"u8, "function"u8);
            json.WriteObject("function"u8, "name"u8, chosen);
            json.WriteEndObject();
        }
        else
        {
            json.WriteOptional("tool_choice"u8, request.ToolChoice?.Mode);
        }

        json.WriteOptional("parallel_tool_calls"u8, request.ParallelToolCalls);
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
                // In this dialect only a user message may contain images. So an image in a tool's result goes into a user message after all tool results.
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
        json.WriteOptional("name"u8, message.Name);
        json.WriteOptional("refusal"u8, message.Refusal);
        if (message.ToolCalls.Count > 0 && !(own && message.Unknown.Has("tool_calls"))) WriteToolCalls(json, message, number, turns);
        json.WriteOptional("tool_call_id"u8, message.ToolCallId ?? (message.Role is ChatRole.Tool ? turns.IdAnswered(number) : null));
        json.WriteOptional("reasoning_content"u8, own ? null : message.Reasoning);
        json.WriteOptional("reasoning"u8, own ? null : message.Reasoning);
        if (own) json.WriteAll(message.AsItCame);
        MessageLosses.Name(message, lost);
        json.WriteOrLose(message.Unknown, own, "messages[].", lost);
        json.WriteEndObject();
    }

    private static void WriteContent(Utf8JsonWriter json, ChatMessage message, bool own, List<string> lost)
    {
        var content = message.Content;
        if (content.Count == 0)
        {
            if (own && message.Role is ChatRole.Assistant) json.WriteNull("content"u8);
            else json.WriteString("content"u8, ""u8);
            return;
        }

        if (content is [ContentPart.Text alone] && !(own && alone.Unknown.Count > 0))
        {
            json.WriteString("content"u8, alone.Value);
            json.WriteOrLose(alone.Unknown, own, "messages[].content[].", lost);
            return;
        }

        json.WriteStartArray("content"u8);
        foreach (var part in content)
        {
            switch (part)
            {
                case ContentPart.Other other:
                    json.WriteAsItCame(other.Raw);
                    continue;
                case ContentPart.Text text:
                    json.WriteStartOfType("text"u8);
                    json.WriteString("text"u8, text.Value);
                    break;
                case ContentPart.Image image:
                    json.WriteStartOfType("image_url"u8);
                    if (own && image.Unknown.Has("image_url")) break;
                    json.WriteStartObject("image_url"u8);
                    json.WriteString("url"u8, ImageText.ToUrl(image));
                    json.WriteOptional("detail"u8, image.Detail);
                    json.WriteEndObject();
                    break;
            }

            json.WriteOrLose(part.Unknown, own, "messages[].content[].", lost);
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
