using System.Buffers;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.Anthropic;

/// <summary>Reads and writes requests of <c>/v1/messages</c>.</summary>
internal static class AnthropicRequestCodec
{
    /// <param name="body"></param>
    /// <param name="limited">True if <c>max_tokens</c> is required. It is for an answer, and not for counting tokens.</param>
    /// <param name="request"></param>
    public static ProxyError? Read(ReadOnlyMemory<byte> body, bool limited, out ChatRequest? request) =>
        RequestDocument.Read(body, (root, fields) => new AnthropicRequestReader(fields).Read(root, limited), out request);

    /// <summary>
    /// Refuses what the host cannot accept and what would change the answer's meaning if it were dropped. Everything else that gets lost is only named in the
    /// log.
    /// </summary>
    public static ProxyError? Unsayable(ChatRequest request)
    {
        if (request.Origin is DialectName.Anthropic) return null;
        if (request.LogProbabilities is true) return Refuse("the host of this model does not tell log probabilities; leave \"logprobs\" out", "logprobs");
        return request.FirstPart(static (part, path) => part switch
        {
            ContentPart.Other other => Refuse($"the host of this model cannot be given \"{path}\", which is of type \"{other.Type}\"", $"{path}"),
            ContentPart.Image { Url: { } url } when !url.StartsWith("http", StringComparison.OrdinalIgnoreCase) =>
                Refuse($"the model's host takes images by an http(s) address or in base64, and \"{path}\" is neither", $"{path}.image_url.url"),
            _ => null,
        });
    }

    /// <inheritdoc cref="ClientDialect.IsOnlySpelling"/>
    public static bool IsOnlySpelling(string name, JsonElement value) => name switch
    {
        // display and newer members change what the answer shows of the thoughts
        "thinking" => value.EnumerateObject().All(static member => member.Name is "budget_tokens"
            || (member.Name is "type" && member.Value.ValueKind is JsonValueKind.String && member.Value.GetString() is "enabled" or "disabled" or "adaptive")),
        "output_format" => IsSchema(value),
        "output_config" => !value.TryGetProperty("format"u8, out var format) || IsSchema(format), // its other members are among the unknown ones
        _ => true,
    };

    private static bool IsSchema(JsonElement format) => format.ValueKind is JsonValueKind.Null
        || (format.ValueKind is JsonValueKind.Object && format.EnumerateObject().All(static member => member.Name is "type" or "schema"));

    public static void Write(ChatRequest request, string model, IBufferWriter<byte> output, List<string> lost)
    {
        using var json = WireJson.NewWriter(output);
        new AnthropicRequestWriter(TranslatedRequest.For(DialectName.Anthropic, request), json, lost).Write(model);
    }

    private static ProxyError Refuse(string message, string param) => new(ProxyErrorKind.InvalidRequest, message) { Param = param };
}
