using System.Buffers;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OllamaChat;

/// <summary>Reads and writes the members of a request that Ollama's chat and generate share: the parameters of the answer, not its content.</summary>
internal static class OllamaMembers
{
    private static readonly SearchValues<char> Numerals = SearchValues.Create("0123456789.");

    /// <summary>Reads the member if it is one of them. False if it is not, or if its value is not understood.</summary>
    public static bool TryRead(JsonProperty member, RequestFields fields, ref ChatRequest request)
    {
        var value = member.Value;
        var isNull = value.ValueKind is JsonValueKind.Null;
        switch (member.Name)
        {
            case "stream":
                request = request with { Stream = fields.Flag(value, "stream") ?? true };
                return true;
            case "format":
                if (value.ValueKind is JsonValueKind.Object) request = request with { Format = new OutputFormat(value.Clone()) };
                else if (value.ValueKind is JsonValueKind.String && value.ValueEquals("json"u8)) request = request with { Format = new OutputFormat(null) };
                else return isNull || (value.ValueKind is JsonValueKind.String && value.ValueEquals(""u8));
                return true;
            case "think":
                if (!isNull) request = request with { Thinking = ReadThinking(value, fields) };
                return true;
            case "keep_alive":
                if (value.ValueKind is JsonValueKind.String && !IsDuration(value.GetString()))
                    fields.Fail("keep_alive", $"time: invalid duration {value.GetRawText()}");
                else if (!isNull) request = request with { KeepAlive = value.Clone() };
                return true;
            case "logprobs":
                request = request with { LogProbabilities = fields.Flag(value, "logprobs") };
                return true;
            case "top_logprobs":
                request = request with { TopLogProbabilities = fields.Count(value, "top_logprobs") };
                return true;
            case "options":
                if (!isNull && fields.IsObject(value, "options")) request = request with { Sampling = ReadOptions(value, fields) };
                return true;
            default:
                return false;
        }
    }

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

    /// <summary>Reads an image in plain base64. A data URL is accepted too, although Ollama itself refuses it.</summary>
    public static ContentPart.Image ReadImage(string text) =>
        text.StartsWith("data:", StringComparison.OrdinalIgnoreCase) ? ImageText.FromUrl(text) : new ContentPart.Image(null, text, null);

    public static void Keep(List<KeyValuePair<string, JsonElement>> unknown, JsonProperty member) => unknown.Add(new(member.Name, member.Value.Clone()));

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
        if (request.KeepAlive is { } keepAlive) json.WriteAsItCame("keep_alive", keepAlive);
        if (request.LogProbabilities is { } probabilities) json.WriteBoolean("logprobs"u8, probabilities);
        if (request.TopLogProbabilities is { } top) json.WriteNumber("top_logprobs"u8, top);
        WriteOptions(json, request.Sampling, own);
        if (request.Choices is > 1) lost.Add("n");
        if (request.User is not null) lost.Add("user");
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
            var value = option.Value;
            var path = $"options.{option.Name}";
            switch (option.Name)
            {
                case "num_ctx": sampling = sampling with { ContextLength = fields.Count(value, path) }; break;
                case "num_predict": sampling = sampling with { MaxTokens = fields.Count(value, path) }; break;
                default:
                    if (!SamplingJson.TryRead(option, path, fields, ref sampling)) Keep(unknown, option);
                    break;
            }
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
        SamplingJson.Write(json, sampling);
        if (sampling.RepeatPenalty is { } repeat) json.WriteNumber("repeat_penalty"u8, repeat);
        if (own) json.WriteAll(sampling.Unknown);
        json.WriteEndObject();
    }
}
