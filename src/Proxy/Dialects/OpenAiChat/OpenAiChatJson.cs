using System.Buffers.Text;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OpenAiChat;

/// <summary>Names and small shapes that OpenAI's chat and completions share, for readers and writers.</summary>
internal static class OpenAiChatJson
{
    public const string StreamContentType = "text/event-stream";
    public const string WholeContentType = "application/json";

    public static ReadOnlySpan<byte> Done => "[DONE]"u8;

    public static bool IsDone(ReadOnlySpan<byte> frame) => frame.Length < 16 && frame.Trim(" \t\r\n"u8).SequenceEqual(Done);

    public static string Word(ChatRole role) => role switch
    {
        ChatRole.System => "system",
        ChatRole.User => "user",
        ChatRole.Tool => "tool",
        ChatRole.Developer => "developer",
        _ => "assistant",
    };

    public static ChatRole? Role(string? word) => word switch
    {
        "system" => ChatRole.System,
        "user" => ChatRole.User,
        "assistant" => ChatRole.Assistant,
        "tool" => ChatRole.Tool,
        "developer" => ChatRole.Developer,
        _ => null,
    };

    public static ReadOnlySpan<byte> Word(FinishReason reason) => reason switch
    {
        FinishReason.Length => "length"u8,
        FinishReason.ToolCalls => "tool_calls"u8,
        FinishReason.ContentFilter => "content_filter"u8,
        _ => "stop"u8,
    };

    /// <summary>
    /// The finish reason at the reader's position. Hosts add values of their own (abort, eos, stop_sequence); all of them count as <c>stop</c>.
    /// </summary>
    public static FinishReason Reason(ref Utf8JsonReader json) =>
        json.ValueTextEquals("stop"u8) ? FinishReason.Stop
        : json.ValueTextEquals("tool_calls"u8) || json.ValueTextEquals("function_call"u8) || json.ValueTextEquals("tool_use"u8) ? FinishReason.ToolCalls
        : json.ValueTextEquals("length"u8) || json.ValueTextEquals("max_tokens"u8) ? FinishReason.Length
        : json.ValueTextEquals("content_filter"u8) ? FinishReason.ContentFilter
        : FinishReason.Stop;

    /// <summary>Writes the members that begin an answer or a chunk, up to the first choice.</summary>
    public static void WriteHead(Utf8JsonWriter json, string id, string kind, long? created, JsonElement? opaque, ReplyStamp stamp)
    {
        json.WriteStartObject();
        json.WriteString("id"u8, id);
        json.WriteString("object"u8, kind);
        json.WriteNumber("created"u8, created ?? stamp.Created.ToUnixTimeSeconds());
        json.WriteString("model"u8, stamp.Model);
        if (opaque.Member("system_fingerprint"u8) is { } fingerprint) json.WriteAsItCame("system_fingerprint", fingerprint);
        json.WriteStartArray("choices"u8);
    }

    /// <summary>Writes the members that end a whole answer, after its last choice.</summary>
    public static void WriteTail(Utf8JsonWriter json, WholeAnswer whole)
    {
        json.WriteEndArray();
        if (whole.Usage is { } usage)
        {
            json.WritePropertyName("usage"u8);
            WriteUsage(json, usage);
        }

        whole.Note.Write(json);
        json.WriteEndObject();
    }

    public static void WriteUsage(Utf8JsonWriter json, Usage usage)
    {
        json.WriteStartObject();
        json.WriteNumber("prompt_tokens"u8, usage.InputTokens);
        json.WriteNumber("completion_tokens"u8, usage.OutputTokens);
        json.WriteNumber("total_tokens"u8, usage.InputTokens + usage.OutputTokens);
        if (usage.CachedInputTokens is { } cached)
        {
            json.WriteStartObject("prompt_tokens_details"u8);
            json.WriteNumber("cached_tokens"u8, cached);
            json.WriteEndObject();
        }

        if (usage.ReasoningTokens is { } reasoning)
        {
            json.WriteStartObject("completion_tokens_details"u8);
            json.WriteNumber("reasoning_tokens"u8, reasoning);
            json.WriteEndObject();
        }

        json.WriteEndObject();
    }

    /// <summary>Reads the usage object that follows. Null if it holds no counts.</summary>
    public static Usage? ReadUsage(ref Utf8JsonReader json)
    {
        if (!json.Enter(JsonTokenType.StartObject)) return null;
        int? input = null, output = null, cached = null, reasoning = null;
        while (json.Read() && json.TokenType is JsonTokenType.PropertyName)
        {
            if (json.ValueTextEquals("prompt_tokens"u8)) input = UsageJson.ReadCount(ref json);
            else if (json.ValueTextEquals("completion_tokens"u8)) output = UsageJson.ReadCount(ref json);
            else if (json.ValueTextEquals("prompt_tokens_details"u8)) cached = UsageJson.ReadDetail(ref json, "cached_tokens"u8);
            else if (json.ValueTextEquals("completion_tokens_details"u8)) reasoning = UsageJson.ReadDetail(ref json, "reasoning_tokens"u8);
            else json.Skip();
        }

        if (input is null && output is null) return null;
        return new Usage(input ?? 0, output ?? 0) { CachedInputTokens = cached, ReasoningTokens = reasoning };
    }

    /// <summary>Finds the token counts in a frame or body. Null if there are none.</summary>
    public static Usage? FindUsage(ReadOnlySpan<byte> frame)
    {
        while (UsageJson.TryFind(ref frame, out var counts))
        {
            if (SkimUsage(counts) is { } plain) return plain;
            try
            {
                var json = new Utf8JsonReader(counts, WireJson.Reading);
                if (ReadUsage(ref json) is { } usage) return usage;
            }
            catch (Exception problem) when (problem is JsonException or InvalidOperationException) // not JSON, or a text that is not Unicode
            {
                // A malformed frame from the host is still passed on to the client; only its counts are ignored.
            }
        }

        return null;
    }

    /// <summary>Reads a usage object in its usual form without a JSON reader. Null if it has another form.</summary>
    private static Usage? SkimUsage(ReadOnlySpan<byte> json)
    {
        int? input = null, output = null, cached = null, reasoning = null;
        var at = 0;
        for (var more = JsonSkim.Enter(json, ref at, (byte)'{', (byte)'}'); more; more = JsonSkim.Another(json, ref at))
        {
            if (!JsonSkim.Name(json, ref at, out var name)) return null;
            switch (name.Length)
            {
                case 13 when name.SequenceEqual("prompt_tokens"u8): input = SkimCount(json, ref at); break;
                case 17 when name.SequenceEqual("completion_tokens"u8): output = SkimCount(json, ref at); break;
                case 21 when name.SequenceEqual("prompt_tokens_details"u8): cached = SkimDetail(json, ref at, "cached_tokens"u8); break;
                case 25 when name.SequenceEqual("completion_tokens_details"u8): reasoning = SkimDetail(json, ref at, "reasoning_tokens"u8); break;
                default: at = JsonSkim.Value(json, at); break;
            }
        }

        if (JsonSkim.Peek(json, at) != '}' || input is null || output is null) return null;
        return new Usage(input.Value, output.Value) { CachedInputTokens = cached, ReasoningTokens = reasoning };
    }

    private static int? SkimDetail(ReadOnlySpan<byte> json, ref int at, ReadOnlySpan<byte> wanted)
    {
        int? count = null;
        var inside = at;
        at = JsonSkim.Value(json, at);
        if (at == JsonSkim.No) return null;
        for (var more = JsonSkim.Enter(json, ref inside, (byte)'{', (byte)'}');
            more && JsonSkim.Name(json, ref inside, out var name);
            more = JsonSkim.Another(json, ref inside))
        {
            if (name.SequenceEqual(wanted)) count = SkimCount(json, ref inside);
            else inside = JsonSkim.Value(json, inside);
        }

        return count;
    }

    /// <summary>Moves past a value and returns it as a count. Null if it is not a whole number.</summary>
    private static int? SkimCount(ReadOnlySpan<byte> json, ref int at)
    {
        var from = at;
        var (end, count) = (from, 0);
        var next = JsonSkim.Peek(json, end);
        for (; char.IsAsciiDigit((char)next); next = JsonSkim.Peek(json, ++end)) count = count * 10 + (next - '0');
        if (next is (byte)',' or (byte)'}' && end - from is >= 1 and <= 9 && json[from] != '0')
        {
            at = end;
            return count;
        }

        at = JsonSkim.Value(json, from);
        if (at == JsonSkim.No) return null;
        if (Utf8Parser.TryParse(json[from..at], out int unusual, out var length) && length == at - from) return unusual;
        return Utf8Parser.TryParse(json[from..at], out double counted, out length) && length == at - from ? UsageJson.Whole(counted) : null;
    }
}
