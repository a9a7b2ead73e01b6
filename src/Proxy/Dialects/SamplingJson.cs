using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects;

/// <summary>The sampling options that have the same names in OpenAI's dialects, Ollama's and (as far as it has them) Anthropic's.</summary>
internal static class SamplingJson
{
    /// <summary>The options with the member, if it is one of them; otherwise null.</summary>
    public static SamplingOptions? Read(JsonProperty member, string path, RequestFields fields, SamplingOptions sampling)
    {
        var value = member.Value;
        return member.Name switch
        {
            "temperature" => sampling with { Temperature = fields.Number(value, path) },
            "top_p" => sampling with { TopP = fields.Number(value, path) },
            "top_k" => sampling with { TopK = fields.Count(value, path) },
            "min_p" => sampling with { MinP = fields.Number(value, path) },
            "seed" => sampling with { Seed = fields.Integer(value, path) },
            "stop" => sampling with { Stop = fields.Texts(value, path) },
            "frequency_penalty" => sampling with { FrequencyPenalty = fields.Number(value, path) },
            "presence_penalty" => sampling with { PresencePenalty = fields.Number(value, path) },
            "repeat_penalty" => sampling with { RepeatPenalty = fields.Number(value, path) },
            _ => null,
        };
    }

    /// <summary>The same for an option that is a member of the request itself.</summary>
    public static ChatRequest? Read(JsonProperty member, RequestFields fields, ChatRequest request) =>
        Read(member, member.Name, fields, request.Sampling) is { } sampling ? request with { Sampling = sampling } : null;

    /// <summary>Writes all of them except the repeat penalty, for which hosts use two names.</summary>
    public static void Write(Utf8JsonWriter json, SamplingOptions sampling)
    {
        json.WriteOptional("temperature"u8, sampling.Temperature);
        json.WriteOptional("top_p"u8, sampling.TopP);
        json.WriteOptional("top_k"u8, sampling.TopK);
        json.WriteOptional("min_p"u8, sampling.MinP);
        json.WriteOptional("seed"u8, sampling.Seed);
        json.WriteOptional("frequency_penalty"u8, sampling.FrequencyPenalty);
        json.WriteOptional("presence_penalty"u8, sampling.PresencePenalty);
        json.WriteTexts("stop"u8, sampling.Stop);
    }

    /// <summary>Names the options that exist neither in Anthropic's dialect nor in Responses.</summary>
    public static void NameLosses(ChatRequest request, List<string> lost)
    {
        var sampling = request.Sampling;
        lost.AddIf(request.Choices is > 1, "n");
        lost.AddIf(request.KeepAlive is not null, "keep_alive");
        lost.AddIf(sampling.MinP is not null, "min_p");
        lost.AddIf(sampling.Seed is not null, "seed");
        lost.AddIf(sampling.FrequencyPenalty is not null, "frequency_penalty");
        lost.AddIf(sampling.PresencePenalty is not null, "presence_penalty");
        lost.AddIf(sampling.RepeatPenalty is not null, "repeat_penalty");
        lost.AddIf(sampling.ContextLength is not null, "options.num_ctx");
        lost.AddNames("options.", sampling.Unknown);
    }
}
