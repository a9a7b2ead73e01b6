using System.Buffers;
using System.Text.Json;
using Proxy.Chat;
using Proxy.Dialects.OllamaChat;

namespace Proxy.Dialects.OllamaGenerate;

/// <summary>Reads and writes requests of <c>/api/generate</c>. A request without a prompt asks to load the model; it has no messages.</summary>
internal static class OllamaGenerateRequestCodec
{
    public static ProxyError? Read(ReadOnlyMemory<byte> body, out ChatRequest? request)
    {
        var fields = new RequestFields();
        return RequestDocument.Read(body, fields, root => ReadRequest(root, fields), out request);
    }

    private static ChatRequest ReadRequest(JsonElement root, RequestFields fields)
    {
        var request = new ChatRequest { Origin = DialectName.OllamaGenerate, Model = "", Messages = [], Stream = true };
        var prompt = new Prompt();
        var content = new List<ContentPart>();
        var unknown = new List<KeyValuePair<string, JsonElement>>();
        string? system = null, text = null;
        foreach (var member in root.EnumerateObject())
        {
            var value = member.Value;
            switch (member.Name)
            {
                case "model":
                    request = request with { Model = fields.Text(value, "model") ?? "" };
                    break;
                case "prompt":
                    text = fields.SomeText(value, "prompt");
                    break;
                case "suffix":
                    prompt = prompt with { Suffix = fields.SomeText(value, "suffix") };
                    break;
                case "system":
                    system = fields.SomeText(value, "system");
                    break;
                case "template":
                    prompt = prompt with { Template = fields.SomeText(value, "template") };
                    break;
                case "raw":
                    prompt = prompt with { Raw = fields.Flag(value, "raw") ?? false };
                    break;
                case "context":
                    if (value.ValueKind is JsonValueKind.Null || !fields.IsList(value, "context")) break;
                    prompt = prompt with { Context = value.GetArrayLength() > 0 ? value.Clone() : null };
                    break;
                case "images":
                    if (value.ValueKind is JsonValueKind.Null || !fields.IsList(value, "images")) break;
                    foreach (var image in value.EnumerateArray()) content.Add(OllamaMembers.ReadImage(fields.Text(image, "images") ?? ""));
                    break;
                default:
                    if (!OllamaMembers.TryRead(member, fields, ref request)) OllamaMembers.Keep(unknown, member);
                    break;
            }
        }

        if (string.IsNullOrWhiteSpace(request.Model)) fields.Fail("model", "model is required");
        if (prompt.Raw && (system is not null || prompt.Template is not null || prompt.Context is not null))
            fields.Fail("raw", "raw mode does not support template, system, or context");
        if (text is not null)
        {
            content.Insert(0, new ContentPart.Text(text));
            request = request with { Messages = PromptMessages.Of(system, content) };
        }

        return request with
        {
            Prompt = prompt with { Continues = prompt.Untemplated || prompt.Suffix is not null },
            Unknown = unknown,
            IncludeUsage = request.Stream
        };
    }

    public static ProxyError? Unsayable(ChatRequest request)
    {
        if (PromptMessages.NotOne(request) is { } problem) return problem;
        var prompt = request.Prompt!;
        if (prompt.NotOneText is not null)
            return PromptMessages.Refused("prompt", "the model's host takes one text as \"prompt\", not several and not token numbers");
        if (prompt.Echo) return PromptMessages.Refused("echo", "the model's host cannot be asked to repeat the prompt: leave out \"echo\"");
        if (PromptMessages.Text(request).Length == 0 && request.Origin is not DialectName.OllamaGenerate)
            return PromptMessages.Refused("prompt", "\"prompt\" is empty, which the model's host would take as a request to load the model");
        return null;
    }

    public static void Write(ChatRequest request, string model, IBufferWriter<byte> output, List<string> lost)
    {
        var own = request.Origin is DialectName.OllamaGenerate;
        var prompt = request.Prompt!;
        using var json = WireJson.NewWriter(output);
        json.WriteStartObject();
        json.WriteString("model"u8, model);
        json.WriteString("prompt"u8, PromptMessages.Text(request));
        if (prompt.Suffix is { } suffix) json.WriteString("suffix"u8, suffix);
        if (PromptMessages.System(request) is { Length: > 0 } system) json.WriteString("system"u8, system);
        if (prompt.Template is { } template) json.WriteString("template"u8, template);
        if (prompt.Raw) json.WriteBoolean("raw"u8, true);
        if (prompt.Context is { } context) json.WriteAsItCame("context", context);
        WriteImages(json, request);
        OllamaMembers.Write(json, request, own, lost);
        if (prompt.BestOf is > 1) lost.Add("best_of");
        json.WriteEndObject();
    }

    private static void WriteImages(Utf8JsonWriter json, ChatRequest request)
    {
        var any = false;
        foreach (var image in PromptMessages.Images(request))
        {
            if (!any) json.WriteStartArray("images"u8);
            any = true;
            json.WriteStringValue(image);
        }

        if (any) json.WriteEndArray();
    }
}
