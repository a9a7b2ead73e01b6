using System.Buffers;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OllamaChat;

/// <summary>Reads and writes the members of a request that Ollama's chat and generate share: the parameters of the answer, not its content.</summary>
internal static class OllamaMembers
{
    /// <summary>Ollama's own message.</summary>
    public const string NoModel = "model is required";

    private static readonly SearchValues<char> Numerals = SearchValues.Create("0123456789.");

    /// <summary>The request with the member. Null if it is not one of them, or if its value is not understood.</summary>
    public static ChatRequest? Read(JsonProperty member, RequestFields fields, ChatRequest request)
    {
        var (name, value) = (member.Name, member.Value);
        if (name is "keep_alive" && value.ValueKind is JsonValueKind.String && !IsDuration(value.GetString()))
            fields.Fail(name, $"time: invalid duration {value.GetRawText()}");
        return name switch
        {
            "model" => request with { Model = fields.Text(value, name) ?? "" },
            "stream" => request with { Stream = fields.Flag(value, name) ?? true },
            "logprobs" => request with { LogProbabilities = fields.Flag(value, name) },
            "top_logprobs" => request with { TopLogProbabilities = fields.Count(value, name) },
            "format" or "think" or "keep_alive" or "options" when value.ValueKind is JsonValueKind.Null => request,
            "format" => ReadFormat(value, request),
            "think" => request with { Thinking = ReadThinking(value, fields) },
            "keep_alive" => request with { KeepAlive = value.Clone() },
            "options" => fields.IsObject(value, name) ? request with { Sampling = ReadOptions(value, fields) } : request,
            _ => null,
        };
    }

    private static ChatRequest? ReadFormat(JsonElement value, ChatRequest request) => value.ValueKind switch
    {
        JsonValueKind.Object => request with { Format = new OutputFormat(value.Clone()) },
        JsonValueKind.String when value.ValueEquals("json"u8) => request with { Format = new OutputFormat(null) },
        JsonValueKind.String when value.ValueEquals(""u8) => request,
        _ => null,
    };

    /// <summary>A duration in Go's notation: 5m, 1h30m, -1s, and 0 without a unit.</summary>
    private static bool IsDuration(ReadOnlySpan<char> text)
    {
        text = text.TrimStart("+-");
        if (text is "0") return true;
        var parts = 0;
        for (; text.Length > 0; parts++)
        {
            var number = text.IndexOfAnyExcept(Numerals);
            if (number <= 0) return false;
            text = text[number..];
            var unit = text.IndexOfAny(Numerals) is var next and >= 0 ? next : text.Length;
            if (text[..unit] is not ("ns" or "us" or "µs" or "μs" or "ms" or "s" or "m" or "h")) return false;
            text = text[unit..];
        }

        return parts > 0;
    }

    /// <summary>Reads images in plain base64. A data URL is accepted too, although Ollama itself refuses it.</summary>
    public static IEnumerable<ContentPart.Image> ReadImages(JsonElement value, string path, RequestFields fields)
    {
        if (value.ValueKind is JsonValueKind.Null || !fields.IsList(value, path)) return [];
        return value.EnumerateArray().Select(item => fields.Text(item, path) ?? "").Select(static text =>
            text.StartsWith("data:", StringComparison.OrdinalIgnoreCase) ? ImageText.FromUrl(text) : new ContentPart.Image(null, text, null));
    }

    /// <summary>Writes all of them, and the unknown ones if the request came in the same dialect; names the others as lost.</summary>
    public static void Write(Utf8JsonWriter json, ChatRequest request, bool own, List<string> lost)
    {
        json.WriteBoolean("stream"u8, request.Stream);
        if (request.Format is { } format)
        {
            if (format.Schema is { } schema) json.WriteAsItCame("format", schema);
            else json.WriteString("format"u8, "json"u8);
        }

        WriteThinking(json, request, lost);
        json.WriteOptional("keep_alive", request.KeepAlive);
        json.WriteOptional("logprobs"u8, request.LogProbabilities);
        json.WriteOptional("top_logprobs"u8, request.TopLogProbabilities);
        WriteOptions(json, request.Sampling, own);
        lost.AddIf(request.Choices is > 1, "n");
        lost.AddIf(request.User is not null, "user");
        json.WriteOrLose(request.Unknown, own, "", lost);
    }

    /// <summary>Reads <c>think</c>. An invalid value is rejected with Ollama's own message.</summary>
    private static Thinking? ReadThinking(JsonElement value, RequestFields fields)
    {
        const string Allowed = "\"high\", \"medium\", \"low\", \"max\", true, or false";
        switch (value.ValueKind)
        {
            case JsonValueKind.True: return new Thinking(true);
            case JsonValueKind.False: return new Thinking(false);
            case JsonValueKind.String when value.GetString() is "low" or "medium" or "high" or "max": return new Thinking(true, value.GetString());
            case JsonValueKind.String: fields.Fail("think", $"invalid think value: {value.GetRawText()} (must be {Allowed})"); return null;
            default: fields.Fail("think", $"think must be a boolean or string ({Allowed})"); return null;
        }
    }

    private static SamplingOptions ReadOptions(JsonElement options, RequestFields fields)
    {
        var sampling = new SamplingOptions();
        var unknown = new List<KeyValuePair<string, JsonElement>>();
        foreach (var option in options.EnumerateObject())
        {
            var path = $"options.{option.Name}";
            var read = option.Name switch
            {
                "num_ctx" => sampling with { ContextLength = fields.Count(option.Value, path) },
                "num_predict" => sampling with { MaxTokens = fields.Count(option.Value, path) },
                _ => SamplingJson.Read(option, path, fields, sampling),
            };
            if (read is null) unknown.Keep(option);
            sampling = read ?? sampling;
        }

        return sampling with { Unknown = unknown };
    }

    private static void WriteThinking(Utf8JsonWriter json, ChatRequest request, List<string> lost)
    {
        if (request.Thinking is not { } thinking) return;
        if (thinking.Enabled && request.Origin is DialectName.Anthropic)
        {
            // Anthropic's agents ask every model to think, but Ollama refuses the call for a model that cannot. Only few of Ollama's models accept a level; the
            // others refuse it, so it is dropped.
            if (thinking.Budget is not null) lost.Add("thinking.budget_tokens");
            else if (thinking.Effort is not null) lost.Add("output_config.effort");
            if (request.ModelThinks) json.WriteBoolean("think"u8, true);
            return;
        }

        var level = thinking.Effort switch
        {
            "minimal" or "low" => "low",
            "xhigh" or "max" => "max",
            "medium" or "high" => thinking.Effort,
            _ => null
        };
        if (thinking.Enabled && level is not null) json.WriteString("think"u8, level);
        else json.WriteBoolean("think"u8, thinking.Enabled);
    }

    private static void WriteOptions(Utf8JsonWriter json, SamplingOptions sampling, bool own)
    {
        json.WriteStartObject("options"u8);
        json.WriteOptional("num_ctx"u8, sampling.ContextLength);
        json.WriteOptional("num_predict"u8, sampling.MaxTokens);
        SamplingJson.Write(json, sampling);
        json.WriteOptional("repeat_penalty"u8, sampling.RepeatPenalty);
        if (own) json.WriteAll(sampling.Unknown);
        json.WriteEndObject();
    }
}
