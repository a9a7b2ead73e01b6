using System.Buffers;

namespace Proxy.Dialects.Anthropic;

/// <summary>The answer to <c>/v1/messages/count_tokens</c>.</summary>
internal static class AnthropicCount
{
    public static void Write(long tokens, IBufferWriter<byte> output)
    {
        using var json = WireJson.NewWriter(output);
        json.WriteStartObject();
        json.WriteNumber("input_tokens"u8, tokens);
        json.WriteEndObject();
    }
}
