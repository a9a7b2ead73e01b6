using System.Buffers;
using System.Text.Json;
using Proxy.Chat;
using Proxy.Dialects.OllamaChat;

namespace Proxy.Dialects.OllamaGenerate;

/// <summary>Reads and writes requests of <c>/api/generate</c>. A request without a prompt asks to load the model; it has no messages.</summary>
internal static class OllamaGenerateRequestCodec
{
    public static ProxyError? Read(ReadOnlyMemory<byte> body, out ChatRequest? request) => RequestDocument.Read(body, ReadRequest, out request);

    private static ChatRequest ReadRequest(JsonElement root, RequestFields fields)
    {
        var request = new ChatRequest { Origin = DialectName.OllamaGenerate, Model = "", Messages = [], Stream = true };
        var prompt = new Prompt();
        var content = new List<ContentPart>();
        string? system = null, text = null;
        foreach (var member in root.EnumerateObject())
        {
            var (name, value) = (member.Name, member.Value);
            switch (name)
            {
                case "prompt":
                    text = fields.SomeText(value, name);
                    break;
                case "suffix":
                    prompt = prompt with { Suffix = fields.SomeText(value, name) };
                    break;
                case "system":
                    system = fields.SomeText(value, name);
                    break;
                case "template":
                    prompt = prompt with { Template = fields.SomeText(value, name) };
                    break;
                case "raw":
                    prompt = prompt with { Raw = fields.Flag(value, name) ?? false };
                    break;
                case "context":
                    if (value.ValueKind is JsonValueKind.Null || !fields.IsList(value, name)) break;
                    prompt = prompt with { Context = value.GetArrayLength() > 0 ? value.Clone() : null };
                    break;
                case "images":
                    content.AddRange(OllamaMembers.ReadImages(value, name, fields));
                    break;
                default:
                    if (OllamaMembers.Read(member, fields, request) is { } read) request = read;
                    else fields.Unknown.Keep(member);
                    break;
            }
        }

        fields.NeedModel(request, OllamaMembers.NoModel);
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
        json.WriteOptional("suffix"u8, prompt.Suffix);
        if (PromptMessages.System(request) is { Length: > 0 } system) json.WriteString("system"u8, system);
        json.WriteOptional("template"u8, prompt.Template);
        if (prompt.Raw) json.WriteBoolean("raw"u8, true);
        json.WriteOptional("context", prompt.Context);
        json.WriteTexts("images"u8, [.. PromptMessages.Images(request)]);
        OllamaMembers.Write(json, request, own, lost);
        lost.AddIf(prompt.BestOf is > 1, "best_of");
        json.WriteEndObject();
    }
}
