using System.Buffers;
using System.Text.Json;
using Proxy.Chat;
using Proxy.Dialects.OpenAiChat;

namespace Proxy.Dialects.OpenAiResponses;

/// <summary>
/// Requests of <c>/v1/responses</c>. Reading keeps the members that the answer repeats as they came; writing is for hosts that offer no other API. A name in
/// <see cref="ChatRequest.Unknown"/> that contains a bracket is not a member of the request itself but of one of its parts, and is only used to report what
/// another dialect loses.
/// </summary>
internal static class OpenAiResponsesRequestCodec
{
    /// <summary>The request's members that the answer repeats.</summary>
    private static readonly string[] Echoed =
    [
        "include", "instructions", "max_output_tokens", "max_tool_calls", "metadata", "parallel_tool_calls", "prompt_cache_key", "reasoning",
        "safety_identifier", "temperature", "text", "tool_choice", "tools", "top_logprobs", "top_p", "user",
    ];

    public static ProxyError? Read(ReadOnlyMemory<byte> body, out ChatRequest? request) => RequestDocument.Read(body, ReadRequest, out request);

    /// <summary>
    /// The error for members that are resolved before a request is translated (<see cref="ResponseWishes"/>): here they are in another kind of call.
    /// </summary>
    private static ProxyError OnlyForResponses(string param) =>
        new(ProxyErrorKind.InvalidRequest, $"\"{param}\" is not possible here; only POST /v1/responses takes it") { Param = param };

    private static ChatRequest ReadRequest(JsonElement root, RequestFields fields)
    {
        // A response always includes its token counts, so a stream does too.
        var request = new ChatRequest { Origin = DialectName.OpenAiResponses, Model = "", Messages = [], IncludeUsage = true };
        string? instructions = null;
        foreach (var member in root.EnumerateObject())
        {
            if (member.Value.ValueKind is JsonValueKind.Null) continue;
            if (Echoed.Contains(member.Name)) fields.AsItCame.Keep(member);
            if (ReadMember(member, fields, request, ref instructions) is { } read) request = read;
            else fields.Unknown.Keep(member);
        }

        if (request.TopLogProbabilities is not null) request = request with { LogProbabilities = true };
        if (root.TryGetProperty("tool_choice"u8, out var choice)) request = OpenAiResponsesTools.ReadChoice(choice, request, fields);
        if (!root.TryGetProperty("input"u8, out var input) || input.ValueKind is JsonValueKind.Null)
            fields.Fail("input", "the body has no \"input\"; send a text or a list of items");
        fields.NeedModel(request);
        if (fields.Problem is not null) return request;
        var conversation = new OpenAiResponsesInput(fields);
        request = request with { Messages = conversation.Read(input, instructions) };
        if (!conversation.IsHeld) fields.AsItCame.Keep("input", input);
        return request;
    }

    /// <summary>The request with the member. Null for a member that only this dialect has; it is kept as it came.</summary>
    private static ChatRequest? ReadMember(JsonProperty member, RequestFields fields, ChatRequest request, ref string? instructions)
    {
        var (name, value) = (member.Name, member.Value);
        switch (name)
        {
            case "instructions":
                instructions = fields.Text(value, name);
                break;
            case "previous_response_id" or "conversation" or "background":
                if (name is not "background" || fields.Flag(value, name) is true) fields.Refuse(OnlyForResponses(name));
                break;
            case "prompt":
                fields.Fail(name, "\"prompt\" names a template that is kept at OpenAI; send its text as \"instructions\"");
                break;
        }

        return name switch
        {
            // dealt with above, or read when all other members are known
            "input" or "instructions" or "tool_choice" or "previous_response_id" or "conversation" or "background" or "prompt" => request,
            // store: kept by this proxy, not by the host. metadata: only repeated in the answer. stream_options: about padding, which is never written
            "store" or "metadata" or "stream_options" => request,
            "model" => request with { Model = fields.Text(value, name) ?? "" },
            "stream" => request with { Stream = fields.Flag(value, name) ?? false },
            "tools" => request with { Tools = OpenAiResponsesTools.Read(value, fields) },
            "parallel_tool_calls" => request with { ParallelToolCalls = fields.Flag(value, name) },
            "text" => fields.IsObject(value, name) ? request with { Format = ReadFormat(value, fields) } : request,
            "reasoning" => fields.IsObject(value, name) && value.TryGetProperty("effort"u8, out var said)
                && fields.Text(said, "reasoning.effort") is { } effort ? request with { Thinking = new Thinking(effort != "none", effort) } : request,
            "max_output_tokens" => request with { Sampling = request.Sampling with { MaxTokens = fields.Count(value, name) } },
            "temperature" or "top_p" => SamplingJson.Read(member, fields, request),
            "top_logprobs" => request with { TopLogProbabilities = fields.Count(value, name) is > 0 and var top ? top : null },
            "include" => fields.IsList(value, name) && value.EnumerateArray().Any(IsLogProbabilities) ? request with { LogProbabilities = true } : request,
            "user" => request with { User = fields.Text(value, name) },
            "truncation" => fields.Text(value, name) is "disabled" ? request : null,
            _ => null,
        };
    }

    private static bool IsLogProbabilities(JsonElement included) =>
        included.ValueKind is JsonValueKind.String && included.ValueEquals(OpenAiResponsesJson.LogProbabilities);

    private static OutputFormat? ReadFormat(JsonElement text, RequestFields fields)
    {
        foreach (var member in text.EnumerateObject())
        {
            if (!member.NameEquals("format"u8) && member.Value.ValueKind is not JsonValueKind.Null)
                fields.Unknown.Keep($"text.{member.Name}", member.Value);
        }

        if (!text.TryGetProperty("format"u8, out var format) || format.ValueKind is JsonValueKind.Null || !fields.IsObject(format, "text.format")) return null;
        switch (OpenAiResponsesJson.Text(format, "type"u8))
        {
            case "text":
                return null;
            case "json_object":
                return new OutputFormat(null);
            case "json_schema":
                return new OutputFormat(format.TryGetProperty("schema"u8, out var schema) ? schema.Clone() : null)
                {
                    Name = OpenAiResponsesJson.Text(format, "name"u8) ?? "answer",
                    Description = OpenAiResponsesJson.Text(format, "description"u8),
                    Strict = format.TryGetProperty("strict"u8, out var strict) && strict.ValueKind is JsonValueKind.True or JsonValueKind.False
                        ? strict.GetBoolean()
                        : null,
                };
            default:
                fields.Unknown.Keep("text.format", format);
                return null;
        }
    }

    public static ProxyError? Unsayable(ChatRequest request) => request.Origin is DialectName.OpenAiResponses ? null : MessageLosses.FirstOther(request);

    public static void Write(ChatRequest request, string model, IBufferWriter<byte> output, List<string> lost)
    {
        var own = request.Origin is DialectName.OpenAiResponses;
        request = TranslatedRequest.For(DialectName.OpenAiResponses, request);
        using var json = WireJson.NewWriter(output);
        json.WriteStartObject();
        json.WriteString("model"u8, model);
        OpenAiResponsesInput.Write(json, request.Messages, own, lost);
        json.WriteBoolean("stream"u8, request.Stream);
        json.WriteBoolean("store"u8, false);
        if (own)
        {
            foreach (var member in request.AsItCame)
            {
                // both are already written as messages
                if (member.Key is not ("instructions" or "input")) json.WriteAsItCame(member.Key, member.Value);
            }

            foreach (var member in request.Unknown)
            {
                if (!Echoed.Contains(member.Key) && !member.Key.AsSpan().ContainsAny(".[")) json.WriteAsItCame(member.Key, member.Value);
            }
        }
        else
        {
            WriteForeign(json, request, lost);
        }

        json.WriteEndObject();
    }

    private static void WriteForeign(Utf8JsonWriter json, ChatRequest request, List<string> lost)
    {
        OpenAiResponsesTools.Write(json, request, lost);
        WriteFormat(json, request.Format);
        if (request.Thinking is { Enabled: false }) json.WriteObject("reasoning"u8, "effort"u8, "none");
        else if (request.Thinking is { Effort: { } effort }) json.WriteObject("reasoning"u8, "effort"u8, effort is "max" ? "high" : effort);
        else lost.AddIf(request.Thinking is not null, "think");

        var sampling = request.Sampling;
        json.WriteOptional("temperature"u8, sampling.Temperature);
        json.WriteOptional("top_p"u8, sampling.TopP);
        json.WriteOptional("max_output_tokens"u8, sampling.MaxTokens is >= 0 ? sampling.MaxTokens : null);
        if (request.LogProbabilities is true)
        {
            json.WriteNumber("top_logprobs"u8, request.TopLogProbabilities ?? 0);
            json.WriteList("include"u8, OpenAiResponsesJson.LogProbabilities);
        }

        json.WriteOptional("user"u8, request.User);
        lost.AddIf(sampling.TopK is not null, "top_k");
        lost.AddIf(sampling.Stop.Count > 0, "stop");
        SamplingJson.NameLosses(request, lost);
        lost.AddNames("", request.Unknown);
    }

    private static void WriteFormat(Utf8JsonWriter json, OutputFormat? format)
    {
        if (format is null) return;
        json.WriteStartObject("text"u8);
        var described = format.Schema is not null || format.Name is not null;
        json.WriteStartOfType("format"u8, described ? "json_schema"u8 : "json_object"u8);
        if (described) OpenAiFormat.WriteDescribed(json, format);
        json.WriteEndObject();
        json.WriteEndObject();
    }
}
