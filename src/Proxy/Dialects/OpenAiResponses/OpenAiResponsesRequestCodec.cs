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

    private static ReadOnlySpan<byte> Kept => "\"previous_response_id\""u8;

    /// <summary>Refuses a request that needs stored responses. Null if the body asks for none. Bodies without the three names are not parsed.</summary>
    public static ProxyError? NeedsMemory(ReadOnlySpan<byte> body)
    {
        if (body.IndexOf(Kept) < 0 && body.IndexOf("\"conversation\""u8) < 0 && body.IndexOf("\"background\""u8) < 0) return null;
        var json = new Utf8JsonReader(body, WireJson.Reading);
        json.Read();
        while (json.Read() && json.TokenType is JsonTokenType.PropertyName)
        {
            var name = json.ValueTextEquals("previous_response_id"u8) ? "previous_response_id"
                : json.ValueTextEquals("conversation"u8) ? "conversation"
                : json.ValueTextEquals("background"u8) ? "background"
                : null;
            json.Read();
            if (name is not null && json.TokenType is not (JsonTokenType.Null or JsonTokenType.False)) return Memory(name);
            json.Skip();
        }

        return null;
    }

    public static ProxyError? Read(ReadOnlyMemory<byte> body, out ChatRequest? request)
    {
        var fields = new RequestFields();
        return RequestDocument.Read(body, fields, root => ReadRequest(root, fields), out request);
    }

    public static ProxyError Memory(string param) => new(ProxyErrorKind.InvalidRequest, param is "background"
        ? "\"background\" is not possible: this proxy keeps no responses yet, so there would be nothing to fetch later"
        : $"this proxy keeps no responses yet, so \"{param}\" names nothing here; send the whole conversation as \"input\"") { Param = param };

    private static ChatRequest ReadRequest(JsonElement root, RequestFields fields)
    {
        // A response always includes its token counts, so a stream does too.
        var request = new ChatRequest { Origin = DialectName.OpenAiResponses, Model = "", Messages = [], IncludeUsage = true };
        var sampling = new SamplingOptions();
        var unknown = new List<KeyValuePair<string, JsonElement>>();
        var asItCame = new List<KeyValuePair<string, JsonElement>>();
        var input = default(JsonElement);
        string? instructions = null;
        foreach (var member in root.EnumerateObject())
        {
            var value = member.Value;
            if (value.ValueKind is JsonValueKind.Null) continue;
            if (Echoed.Contains(member.Name)) asItCame.Add(new(member.Name, value.Clone()));
            switch (member.Name)
            {
                case "model":
                    request = request with { Model = fields.Text(value, "model") ?? "" };
                    break;
                case "input":
                    input = value;
                    break;
                case "instructions":
                    instructions = fields.Text(value, "instructions");
                    break;
                case "stream":
                    request = request with { Stream = fields.Flag(value, "stream") ?? false };
                    break;
                case "tools":
                    request = request with { Tools = OpenAiResponsesTools.Read(value, fields, unknown) };
                    break;
                case "parallel_tool_calls":
                    request = request with { ParallelToolCalls = fields.Flag(value, "parallel_tool_calls") };
                    break;
                case "text":
                    if (fields.IsObject(value, "text")) request = request with { Format = ReadFormat(value, fields, unknown) };
                    break;
                case "reasoning":
                    if (!fields.IsObject(value, "reasoning") || !value.TryGetProperty("effort"u8, out var effort)) break;
                    if (fields.Text(effort, "reasoning.effort") is { } word) request = request with { Thinking = new Thinking(word != "none", word) };
                    break;
                case "max_output_tokens":
                    sampling = sampling with { MaxTokens = fields.Count(value, "max_output_tokens") };
                    break;
                case "temperature" or "top_p":
                    SamplingJson.TryRead(member, member.Name, fields, ref sampling);
                    break;
                case "top_logprobs":
                    request = request with { TopLogProbabilities = fields.Count(value, "top_logprobs") is > 0 and var top ? top : null };
                    break;
                case "include":
                    if (fields.IsList(value, "include")
                        && value.EnumerateArray().Any(static item => item.ValueKind is JsonValueKind.String
                            && item.ValueEquals(OpenAiResponsesJson.LogProbabilities)))
                        request = request with { LogProbabilities = true };
                    break;
                case "user":
                    request = request with { User = fields.Text(value, "user") };
                    break;
                case "previous_response_id" or "conversation" or "background":
                    if (member.Name is not "background" || fields.Flag(value, "background") is true) fields.Refuse(Memory(member.Name));
                    break;
                case "prompt":
                    fields.Fail("prompt", "\"prompt\" names a template that is kept at OpenAI; send its text as \"instructions\"");
                    break;
                case "truncation":
                    if (fields.Text(value, "truncation") is not "disabled") unknown.Add(new("truncation", value.Clone()));
                    break;
                // tool_choice: read below. store: responses are never stored. metadata: only repeated in the answer. stream_options: about padding, which is never written
                case "tool_choice" or "store" or "metadata" or "stream_options":
                    break;
                default:
                    unknown.Add(new(member.Name, value.Clone()));
                    break;
            }
        }

        if (request.TopLogProbabilities is not null) request = request with { LogProbabilities = true };
        if (root.TryGetProperty("tool_choice"u8, out var choice)) request = OpenAiResponsesTools.ReadChoice(choice, request, unknown);
        if (input.ValueKind is JsonValueKind.Undefined) fields.Fail("input", "the body has no \"input\"; send a text or a list of items");
        fields.NeedModel(request);
        if (fields.Problem is not null) return request;
        return request with
        {
            Messages = new OpenAiResponsesInput(fields, unknown).Read(input, instructions),
            Sampling = sampling,
            Unknown = unknown,
            AsItCame = asItCame
        };
    }

    private static OutputFormat? ReadFormat(JsonElement text, RequestFields fields, List<KeyValuePair<string, JsonElement>> unknown)
    {
        foreach (var member in text.EnumerateObject())
        {
            if (!member.NameEquals("format"u8) && member.Value.ValueKind is not JsonValueKind.Null)
                unknown.Add(new($"text.{member.Name}", member.Value.Clone()));
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
                unknown.Add(new("text.format", format.Clone()));
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
                if (member.Key is not "instructions") json.WriteAsItCame(member.Key, member.Value); // already written as the first message
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
        if (request.Thinking is { } thinking)
        {
            if (thinking.Enabled && thinking.Effort is null) lost.Add("think");
            else
            {
                json.WriteStartObject("reasoning"u8);
                json.WriteString("effort"u8, thinking.Enabled ? thinking.Effort is "max" ? "high" : thinking.Effort : "none");
                json.WriteEndObject();
            }
        }

        var sampling = request.Sampling;
        if (sampling.Temperature is { } temperature) json.WriteNumber("temperature"u8, temperature);
        if (sampling.TopP is { } topP) json.WriteNumber("top_p"u8, topP);
        if (sampling.MaxTokens is { } limit and >= 0) json.WriteNumber("max_output_tokens"u8, limit);
        if (request.LogProbabilities is true)
        {
            json.WriteNumber("top_logprobs"u8, request.TopLogProbabilities ?? 0);
            json.WriteStartArray("include"u8);
            json.WriteStringValue(OpenAiResponsesJson.LogProbabilities);
            json.WriteEndArray();
        }

        if (request.User is { } user) json.WriteString("user"u8, user);
        if (sampling.TopK is not null) lost.Add("top_k");
        if (sampling.Stop.Count > 0) lost.Add("stop");
        SamplingJson.NameLosses(request, lost);
        foreach (var member in request.Unknown) lost.Add(member.Key);
    }

    private static void WriteFormat(Utf8JsonWriter json, OutputFormat? format)
    {
        if (format is null) return;
        json.WriteStartObject("text"u8);
        json.WriteStartObject("format"u8);
        if (format.Schema is null && format.Name is null)
        {
            json.WriteString("type"u8, "json_object"u8);
        }
        else
        {
            json.WriteString("type"u8, "json_schema"u8);
            OpenAiFormat.WriteDescribed(json, format);
        }

        json.WriteEndObject();
        json.WriteEndObject();
    }
}
