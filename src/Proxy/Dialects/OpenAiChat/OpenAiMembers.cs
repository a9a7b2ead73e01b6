using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OpenAiChat;

/// <summary>Reads and writes the members of a request that OpenAI's chat and completions share: the parameters of the answer, not its content.</summary>
internal static class OpenAiMembers
{
    /// <summary>Reads the member if it is one of them.</summary>
    public static bool TryRead(JsonProperty member, OpenAiDraft draft, ref ChatRequest request, ref SamplingOptions sampling)
    {
        var (value, fields) = (member.Value, draft.Fields);
        switch (member.Name)
        {
            case "stream": request = request with { Stream = fields.Flag(value, "stream") ?? false }; break;
            case "stream_options": ReadStreamOptions(member, draft, ref request); break;
            case "n": request = request with { Choices = fields.Count(value, "n") }; break;
            case "user": request = request with { User = fields.Text(value, "user") }; break;
            case "max_tokens": sampling = sampling with { MaxTokens = fields.Count(value, "max_tokens") }; break;
            case "repetition_penalty":
                sampling = sampling with { RepeatPenalty = fields.Number(value, "repetition_penalty") };
                draft.KeepSpelling("repetition_penalty", value);
                break;
            default: return SamplingJson.TryRead(member, member.Name, fields, ref sampling);
        }

        return true;
    }

    /// <summary>Writes all of them except <c>stream_options</c>, and names the ones that are lost.</summary>
    public static void Write(Utf8JsonWriter json, ChatRequest request, bool own, List<string> lost)
    {
        if (request.Choices is { } n) json.WriteNumber("n"u8, n);
        if (request.User is { } user) json.WriteString("user"u8, user);
        WriteSampling(json, request, own, lost);
        if (request.KeepAlive is not null) lost.Add("keep_alive");
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

    private static void ReadStreamOptions(JsonProperty member, OpenAiDraft draft, ref ChatRequest request)
    {
        var value = member.Value;
        if (value.ValueKind is JsonValueKind.Null || !draft.Fields.IsObject(value, "stream_options")) return;
        if (value.TryGetProperty("include_usage"u8, out var wish))
            request = request with { IncludeUsage = draft.Fields.Flag(wish, "stream_options.include_usage") ?? false };
        if (value.EnumerateObject().Any(static option => option.Name != "include_usage")) draft.Keep(member);
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

        if (sampling.ContextLength is not null) lost.Add("options.num_ctx");
        foreach (var option in sampling.Unknown) lost.Add($"options.{option.Key}");
    }
}
