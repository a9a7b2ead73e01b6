using System.Text;
using System.Text.Json;
using Proxy.Chat;
using Proxy.Dialects;
using Proxy.Streams;

namespace Proxy.Cache;

/// <summary>Makes the database row of an answer: its events, and the same in columns that people can read.</summary>
internal static class CompletionRows
{
    public static CompletionRow Of(CacheKey key, string model, string served, CachedAnswer answer, DateTimeOffset now)
    {
        var whole = WholeAnswer.Of(answer.Replay());
        var choice = whole.Choices[0];
        return new()
        {
            Owner = key.Owner,
            RequestId = key.RequestId,
            Model = model,
            Content = choice.Answer is { Length: > 0 } text ? text : null,
            ToolCalls = choice.ToolCalls.Count == 0 ? null : Json(json => WriteCalls(json, choice.ToolCalls)),
            Reasoning = choice.Reasoning is { Length: > 0 } reasoning ? reasoning : null,
            FinishReason = Word(choice.Reason),
            Winner = whole.Note.Winner ?? (served.Length > 0 ? served : null),
            Usage = whole.Usage is { } usage ? Json(json => WriteUsage(json, usage)) : null,
            Events = answer.Lines,
            CreatedAt = now,
            ExpiresAt = answer.ExpiresAt,
        };
    }

    private static string Json(Action<Utf8JsonWriter> write) => Encoding.UTF8.GetString(WireJson.Written(write));

    private static string Word(FinishReason reason) => reason switch
    {
        FinishReason.Length => "length",
        FinishReason.ToolCalls => "tool_calls",
        FinishReason.ContentFilter => "content_filter",
        _ => "stop",
    };

    private static void WriteCalls(Utf8JsonWriter json, List<WholeToolCall> calls)
    {
        json.WriteStartArray();
        foreach (var call in calls)
        {
            json.WriteStartObject();
            json.WriteOptional("id"u8, call.Id);
            json.WriteString("type"u8, "function"u8);
            json.WriteStartObject("function"u8);
            json.WriteString("name"u8, call.Name ?? "");
            json.WriteString("arguments"u8, call.Arguments);
            json.WriteEndObject();
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    private static void WriteUsage(Utf8JsonWriter json, Usage usage)
    {
        json.WriteStartObject();
        json.WriteNumber("prompt_tokens"u8, usage.InputTokens);
        json.WriteNumber("completion_tokens"u8, usage.OutputTokens);
        json.WriteNumber("total_tokens"u8, usage.InputTokens + usage.OutputTokens);
        json.WriteEndObject();
    }
}
