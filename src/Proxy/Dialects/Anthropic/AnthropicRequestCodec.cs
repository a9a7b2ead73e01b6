using System.Buffers;
using Proxy.Chat;

namespace Proxy.Dialects.Anthropic;

/// <summary>Requests of <c>/v1/messages</c>, both ways.</summary>
internal static class AnthropicRequestCodec
{
    /// <param name="body"></param>
    /// <param name="limited">Whether <c>max_tokens</c> must be said: to answer, but not to count.</param>
    /// <param name="request"></param>
    public static ProxyError? Read(ReadOnlyMemory<byte> body, bool limited, out ChatRequest? request)
    {
        var fields = new RequestFields();
        return RequestDocument.Read(body, fields, root => new AnthropicRequestReader(fields).Read(root, limited), out request);
    }

    /// <summary>What a host cannot be shown, or cannot be asked for at all, is no loss to name in a log: the answer would be one to another question.</summary>
    public static ProxyError? Unsayable(ChatRequest request)
    {
        if (request.Origin is DialectName.Anthropic) return null;
        if (request.LogProbabilities is true) return Refuse("the host of this model does not tell log probabilities; leave \"logprobs\" out", "logprobs");
        for (var i = 0; i < request.Messages.Count; i++)
        {
            var content = request.Messages[i].Content;
            for (var j = 0; j < content.Count; j++)
            {
                var path = $"messages[{i}].content[{j}]";
                if (content[j] is ContentPart.Other other) return Refuse($"the host of this model cannot be given \"{path}\", which is of type \"{other.Type}\"", path);
                if (content[j] is ContentPart.Image { Url: { } url } && !url.StartsWith("http", StringComparison.OrdinalIgnoreCase))
                    return Refuse($"the model's host takes images by an http(s) address or in base64, and \"{path}\" is neither", $"{path}.image_url.url");
            }
        }

        return null;
    }

    public static void Write(ChatRequest request, string model, IBufferWriter<byte> output, List<string> lost)
    {
        using var json = WireJson.NewWriter(output);
        new AnthropicRequestWriter(request, json, lost).Write(model);
    }

    private static ProxyError Refuse(string message, string param) => new(ProxyErrorKind.InvalidRequest, message) { Param = param };
}
