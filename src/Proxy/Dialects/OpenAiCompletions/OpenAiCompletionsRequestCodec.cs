using System.Buffers;
using System.Text.Json;
using Proxy.Chat;
using Proxy.Dialects.OpenAiChat;

namespace Proxy.Dialects.OpenAiCompletions;

/// <summary>Reads and writes requests of <c>/v1/completions</c>.</summary>
internal static class OpenAiCompletionsRequestCodec
{
    public static ProxyError? Read(ReadOnlyMemory<byte> body, out ChatRequest? request) => RequestDocument.Read(body, ReadRequest, out request);

    private static ChatRequest ReadRequest(JsonElement root, RequestFields fields)
    {
        var request = new ChatRequest { Origin = DialectName.OpenAiCompletions, Model = "", Messages = [] };
        var prompt = new Prompt { Continues = true };
        IReadOnlyList<ContentPart>? content = null;
        foreach (var member in root.EnumerateObject())
        {
            var (name, value) = (member.Name, member.Value);
            switch (name)
            {
                case "prompt":
                    content = ReadPrompt(value, fields, ref prompt);
                    break;
                case "suffix":
                    prompt = prompt with { Suffix = fields.SomeText(value, name) };
                    break;
                case "echo":
                    prompt = prompt with { Echo = fields.Flag(value, name) ?? false };
                    break;
                case "best_of":
                    prompt = prompt with { BestOf = fields.Count(value, name) };
                    break;
                case "logprobs":
                    if (fields.Count(value, name) is { } top) request = request with { LogProbabilities = true, TopLogProbabilities = top };
                    break;
                default:
                    var read = name is "response_format" // vLLM accepts it here too
                        ? OpenAiMembers.ReadFormat(member, fields, request, always: true)
                        : OpenAiMembers.Read(member, fields, request);
                    if (read is null) fields.Unknown.Keep(member);
                    request = read ?? request;
                    break;
            }
        }

        if (content is null) fields.Fail("prompt", "the body has no \"prompt\"; send the text to continue");
        fields.NeedModel(request);
        return request with { Messages = PromptMessages.Of(null, content ?? []), Prompt = prompt };
    }

    /// <summary>A text, or a list with one text, is the prompt. Several texts, or token numbers, can only be sent to a host of this dialect.</summary>
    private static List<ContentPart>? ReadPrompt(JsonElement value, RequestFields fields, ref Prompt prompt)
    {
        switch (value.ValueKind)
        {
            case JsonValueKind.Null:
                return null;
            case JsonValueKind.String:
                return [new ContentPart.Text(value.GetString()!)];
            case JsonValueKind.Array when value.EnumerateArray().All(static item => item.ValueKind is JsonValueKind.String):
                if (value.GetArrayLength() != 1) prompt = prompt with { NotOneText = value.Clone() };
                return [.. value.EnumerateArray().Select(static item => new ContentPart.Text(item.GetString()!))];
            case JsonValueKind.Array when value.EnumerateArray().All(static item => item.ValueKind is JsonValueKind.Number or JsonValueKind.Array):
                prompt = prompt with { NotOneText = value.Clone() };
                return [];
            default:
                fields.Fail("prompt", "\"prompt\" must be a string, a list of strings, or token numbers");
                return [];
        }
    }

    public static ProxyError? Unsayable(ChatRequest request)
    {
        if (PromptMessages.NotOne(request) is { } problem) return problem;
        var prompt = request.Prompt!;
        if (prompt.Context is not null) return Refused("context");
        if (prompt.Template is not null && !prompt.Untemplated) return Refused("template");
        if (PromptMessages.Images(request).Any()) return Refused("images");
        return PromptMessages.System(request).Length > 0 ? Refused("system") : null;
    }

    private static ProxyError Refused(string field) =>
        PromptMessages.Refused(field, $"the model's host continues a text as it stands, so it cannot be given \"{field}\""
            + " together with \"raw\", \"suffix\" or a \"template\" of its own");

    public static void Write(ChatRequest request, string model, IBufferWriter<byte> output, List<string> lost)
    {
        var own = request.Origin is DialectName.OpenAiCompletions;
        var prompt = request.Prompt!;
        using var json = WireJson.NewWriter(output);
        json.WriteStartObject();
        json.WriteString("model"u8, model);
        if (prompt.NotOneText is { } several) json.WriteAsItCame("prompt", several);
        else json.WriteString("prompt"u8, PromptMessages.Text(request));
        json.WriteOptional("suffix"u8, prompt.Suffix);
        if (prompt.Echo) json.WriteBoolean("echo"u8, true);
        json.WriteOptional("best_of"u8, prompt.BestOf);
        // for llama.cpp, 0 means none
        if (request.LogProbabilities is true) json.WriteNumber("logprobs"u8, request.TopLogProbabilities is { } top && (own || top > 0) ? top : 1);
        if (request.Stream || !own) json.WriteBoolean("stream"u8, request.Stream); // some hosts stream unless told not to
        OpenAiMembers.WriteStreamOptions(json, request, own);
        if (!own && request.Sampling.MaxTokens is null or < 0) json.WriteNull("max_tokens"u8); // if left out, the default would be 16
        if (!own) WriteFormat(json, request.Format);
        else json.WriteOptional("response_format", request.AsItCame.Find("response_format"));
        lost.AddIf(request.Thinking is not null, "think");
        OpenAiMembers.Write(json, request, own, lost);
        json.WriteEndObject();
    }

    /// <summary>Writes the schema in both ways that hosts accept here: as in chat (vLLM), and as a plain schema (llama.cpp).</summary>
    private static void WriteFormat(Utf8JsonWriter json, OutputFormat? format)
    {
        if (format is null) return;
        OpenAiFormat.Write(json, format);
        if (format.Schema is { } schema) json.WriteAsItCame("json_schema", schema);
        else json.WriteEmptyObject("json_schema"u8);
    }
}
