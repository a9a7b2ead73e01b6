using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OpenAiChat;

/// <summary>Reads and writes the members of a request that OpenAI's chat and completions share: the parameters of the answer, not its content.</summary>
internal static class OpenAiMembers
{
    /// <summary>The request with the member, if it is one of them; otherwise null.</summary>
    public static ChatRequest? Read(JsonProperty member, RequestFields fields, ChatRequest request)
    {
        var (name, value) = (member.Name, member.Value);
        if (name is "repetition_penalty") fields.AsItCame.Keep(member);
        return name switch
        {
            "model" => request with { Model = fields.Text(value, name) ?? "" },
            "stream" => request with { Stream = fields.Flag(value, name) ?? false },
            "stream_options" => ReadStreamOptions(member, fields, request),
            "n" => request with { Choices = fields.Count(value, name) },
            "user" => request with { User = fields.Text(value, name) },
            "max_tokens" => request with { Sampling = request.Sampling with { MaxTokens = fields.Count(value, name) } },
            "repetition_penalty" => request with { Sampling = request.Sampling with { RepeatPenalty = fields.Number(value, name) } },
            _ => SamplingJson.Read(member, fields, request),
        };
    }

    /// <summary>Reads <c>response_format</c>. Null if its form is unknown.</summary>
    /// <param name="member"></param>
    /// <param name="fields"></param>
    /// <param name="request"></param>
    /// <param name="always">True to keep the member as it came even if the request holds all of it.</param>
    public static ChatRequest? ReadFormat(JsonProperty member, RequestFields fields, ChatRequest request, bool always)
    {
        if (member.Value.ValueKind is JsonValueKind.Null || !fields.IsObject(member.Value, member.Name)) return request;
        var format = OpenAiFormat.Read(member.Value, out var whole);
        if (format is null && !whole) return null;
        if (always || !whole) fields.AsItCame.Keep(member);
        return request with { Format = format };
    }

    /// <inheritdoc cref="ClientDialect.IsOnlySpelling"/>
    public static bool IsOnlySpelling(string name, JsonElement value, ChatRequest request) => name switch
    {
        "max_tokens" or "max_completion_tokens" => IsNumber(value, request.Sampling.MaxTokens),
        "repetition_penalty" => IsNumber(value, request.Sampling.RepeatPenalty),
        _ => false, // a form of the answer that has more members than OutputFormat
    };

    private static bool IsNumber(JsonElement value, double? number) =>
        value.ValueKind is JsonValueKind.Number && value.TryGetDouble(out var said) && said == number;

    /// <summary>Writes all of them except <c>stream_options</c>, and names the ones that are lost.</summary>
    public static void Write(Utf8JsonWriter json, ChatRequest request, bool own, List<string> lost)
    {
        json.WriteOptional("n"u8, request.Choices);
        json.WriteOptional("user"u8, request.User);
        WriteSampling(json, request, own, lost);
        lost.AddIf(request.KeepAlive is not null, "keep_alive");
        foreach (var member in request.Unknown)
        {
            if (!own) lost.Add(member.Key);
            else if (member.Key is not "stream_options") json.WriteAsItCame(member.Key, member.Value);
        }
    }

    public static void WriteStreamOptions(Utf8JsonWriter json, ChatRequest request, bool own)
    {
        var others = own ? request.Unknown.Find("stream_options") : null;
        if (others is null && !(request.Stream && request.IncludeUsage)) return;
        json.WriteStartObject("stream_options"u8);
        if (request.IncludeUsage) json.WriteBoolean("include_usage"u8, true);
        if (others is { } kept)
        {
            foreach (var member in kept.EnumerateObject())
            {
                if (!member.NameEquals("include_usage"u8)) json.WriteAsItCame(member.Name, member.Value);
            }
        }

        json.WriteEndObject();
    }

    private static ChatRequest ReadStreamOptions(JsonProperty member, RequestFields fields, ChatRequest request)
    {
        var value = member.Value;
        if (value.ValueKind is JsonValueKind.Null || !fields.IsObject(value, "stream_options")) return request;
        if (value.EnumerateObject().Any(static option => option.Name != "include_usage")) fields.Unknown.Keep(member);
        return value.TryGetProperty("include_usage"u8, out var wish)
            ? request with { IncludeUsage = fields.Flag(wish, "stream_options.include_usage") ?? false }
            : request;
    }

    private static void WriteSampling(Utf8JsonWriter json, ChatRequest request, bool own, List<string> lost)
    {
        var sampling = request.Sampling;
        SamplingJson.Write(json, sampling);
        if (sampling.MaxTokens is { } limit && (own || limit >= 0))
            json.WriteNumber(own && request.AsItCame.Has("max_completion_tokens") ? "max_completion_tokens"u8 : "max_tokens"u8, limit);
        if (sampling.RepeatPenalty is { } repeat)
        {
            var byVllm = own && request.AsItCame.Has("repetition_penalty");
            if (!byVllm) json.WriteNumber("repeat_penalty"u8, repeat); // llama.cpp's name
            if (byVllm || !own) json.WriteNumber("repetition_penalty"u8, repeat); // vLLM's name
        }

        lost.AddIf(sampling.ContextLength is not null, "options.num_ctx");
        lost.AddNames("options.", sampling.Unknown);
    }
}
