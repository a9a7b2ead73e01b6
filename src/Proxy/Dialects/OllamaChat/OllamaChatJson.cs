using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OllamaChat;

/// <summary>Names and small shapes of Ollama's answers that readers and writers share, for chat and generate.</summary>
internal static class OllamaChatJson
{
    public const string StreamContentType = "application/x-ndjson";
    public const string WholeContentType = "application/json; charset=utf-8";

    public static string Time(DateTimeOffset time) => time.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss.fffffff'Z'", CultureInfo.InvariantCulture);

    // Ollama also says "stop" after a tool call
    public static ReadOnlySpan<byte> Word(FinishReason reason) => reason is FinishReason.Length ? "length"u8 : "stop"u8;

    /// <summary>The bytes that follow <c>"model":</c> in each line of a stream: the model's name and the creation time.</summary>
    public static byte[] Head(ReplyStamp stamp)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var name = WireJson.NewWriter(buffer)) name.WriteStringValue(stamp.Model);
        return [.. buffer.WrittenSpan, .. ",\"created_at\":\""u8, .. Encoding.UTF8.GetBytes(Time(stamp.Created)), .. "\""u8];
    }

    /// <summary>Writes <c>done</c> and <c>done_reason</c>: the host's own reason if it gave one.</summary>
    public static void WriteDone(Utf8JsonWriter json, FinishReason reason, JsonElement? opaque)
    {
        json.WriteBoolean("done"u8, true);
        if (opaque.Member("done_reason"u8) is { } word) json.WriteAsItCame("done_reason", word);
        else json.WriteString("done_reason"u8, Word(reason));
    }

    public static void WriteArguments(Utf8JsonWriter json, string arguments) => ToolJson.WriteArguments(json, "arguments"u8, arguments);

    public static void WriteUsage(Utf8JsonWriter json, Usage? usage)
    {
        if (usage is null) return;
        json.WriteOptional("total_duration"u8, usage.TotalDuration);
        json.WriteOptional("load_duration"u8, usage.LoadDuration);
        json.WriteNumber("prompt_eval_count"u8, usage.InputTokens);
        json.WriteOptional("prompt_eval_duration"u8, usage.PromptEvalDuration);
        json.WriteNumber("eval_count"u8, usage.OutputTokens);
        json.WriteOptional("eval_duration"u8, usage.EvalDuration);
    }

    /// <summary>Finds the counts in a last frame or a whole answer. Other frames are not parsed, because they do not contain the members' names.</summary>
    public static Usage? FindUsage(ReadOnlySpan<byte> frame)
    {
        if (frame.IndexOf("\"eval_count\""u8) < 0 && frame.IndexOf("\"prompt_eval_count\""u8) < 0) return null;
        try
        {
            var json = WireJson.Open(frame);
            var counts = new OllamaChatCounts();
            if (json.TokenType is not JsonTokenType.StartObject) return null;
            while (json.Read() && json.TokenType is JsonTokenType.PropertyName)
            {
                if (!counts.TryRead(ref json)) json.Skip();
            }

            return counts.Usage;
        }
        catch (Exception problem) when (problem is JsonException or InvalidOperationException)
        {
            // A malformed frame from the host is still passed on to the client; only its counts are ignored.
            return null;
        }
    }
}

/// <summary>Collects the numbers of Ollama's last frame, one member at a time.</summary>
internal struct OllamaChatCounts
{
    private int? input, output;
    private long? total, load, prompt, answer;

    public readonly Usage? Usage => input is null && output is null
        ? null
        : new Usage(input ?? 0, output ?? 0) { TotalDuration = total, LoadDuration = load, PromptEvalDuration = prompt, EvalDuration = answer };

    /// <summary>Reads the member at the reader's position if it is one of the six. False otherwise.</summary>
    public bool TryRead(ref Utf8JsonReader json)
    {
        if (json.ValueTextEquals("prompt_eval_count"u8)) input = (int?)ReadNumber(ref json);
        else if (json.ValueTextEquals("eval_count"u8)) output = (int?)ReadNumber(ref json);
        else if (json.ValueTextEquals("total_duration"u8)) total = ReadNumber(ref json);
        else if (json.ValueTextEquals("load_duration"u8)) load = ReadNumber(ref json);
        else if (json.ValueTextEquals("prompt_eval_duration"u8)) prompt = ReadNumber(ref json);
        else if (json.ValueTextEquals("eval_duration"u8)) answer = ReadNumber(ref json);
        else return false;
        return true;
    }

    private static long? ReadNumber(ref Utf8JsonReader json)
    {
        json.Read();
        if (json.TokenType is JsonTokenType.Number)
            return json.TryGetInt64(out var number) ? number
                : json.TryGetDouble(out var counted) && Math.Abs(counted) < long.MaxValue ? (long)Math.Round(counted)
                : null;
        json.Skip();
        return null;
    }
}
