using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects;

/// <summary>The sampling options that have the same names in OpenAI's dialects, Ollama's and (as far as it has them) Anthropic's.</summary>
internal static class SamplingJson
{
    /// <summary>Reads the member if it is one of them.</summary>
    public static bool TryRead(JsonProperty member, string path, RequestFields fields, ref SamplingOptions sampling)
    {
        var value = member.Value;
        switch (member.Name)
        {
            case "temperature": sampling = sampling with { Temperature = fields.Number(value, path) }; break;
            case "top_p": sampling = sampling with { TopP = fields.Number(value, path) }; break;
            case "top_k": sampling = sampling with { TopK = fields.Count(value, path) }; break;
            case "min_p": sampling = sampling with { MinP = fields.Number(value, path) }; break;
            case "seed": sampling = sampling with { Seed = fields.Integer(value, path) }; break;
            case "stop": sampling = sampling with { Stop = fields.Texts(value, path) }; break;
            case "frequency_penalty": sampling = sampling with { FrequencyPenalty = fields.Number(value, path) }; break;
            case "presence_penalty": sampling = sampling with { PresencePenalty = fields.Number(value, path) }; break;
            case "repeat_penalty": sampling = sampling with { RepeatPenalty = fields.Number(value, path) }; break;
            default: return false;
        }

        return true;
    }

    /// <summary>Writes all of them except the repeat penalty, for which hosts use two names.</summary>
    public static void Write(Utf8JsonWriter json, SamplingOptions sampling)
    {
        if (sampling.Temperature is { } temperature) json.WriteNumber("temperature"u8, temperature);
        if (sampling.TopP is { } topP) json.WriteNumber("top_p"u8, topP);
        if (sampling.TopK is { } topK) json.WriteNumber("top_k"u8, topK);
        if (sampling.MinP is { } minP) json.WriteNumber("min_p"u8, minP);
        if (sampling.Seed is { } seed) json.WriteNumber("seed"u8, seed);
        if (sampling.FrequencyPenalty is { } frequency) json.WriteNumber("frequency_penalty"u8, frequency);
        if (sampling.PresencePenalty is { } presence) json.WriteNumber("presence_penalty"u8, presence);
        json.WriteTexts("stop"u8, sampling.Stop);
    }

    /// <summary>Names the options that exist neither in Anthropic's dialect nor in Responses.</summary>
    public static void NameLosses(ChatRequest request, List<string> lost)
    {
        var sampling = request.Sampling;
        if (request.Choices is > 1) lost.Add("n");
        if (request.KeepAlive is not null) lost.Add("keep_alive");
        if (sampling.MinP is not null) lost.Add("min_p");
        if (sampling.Seed is not null) lost.Add("seed");
        if (sampling.FrequencyPenalty is not null) lost.Add("frequency_penalty");
        if (sampling.PresencePenalty is not null) lost.Add("presence_penalty");
        if (sampling.RepeatPenalty is not null) lost.Add("repeat_penalty");
        if (sampling.ContextLength is not null) lost.Add("options.num_ctx");
        foreach (var option in sampling.Unknown) lost.Add($"options.{option.Key}");
    }
}
