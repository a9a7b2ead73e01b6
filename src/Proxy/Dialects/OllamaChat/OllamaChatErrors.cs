using System.Buffers;
using Proxy.Chat;

namespace Proxy.Dialects.OllamaChat;

/// <summary>Errors on Ollama's paths: an object with one sentence.</summary>
internal static class OllamaChatErrors
{
    public static void Write(ProxyError error, IBufferWriter<byte> output)
    {
        using var json = WireJson.NewWriter(output);
        json.WriteStartObject();
        json.WriteString("error"u8, Sentence(error));
        json.WriteEndObject();
    }

    public static void WriteToStream(ProxyError error, IBufferWriter<byte> output)
    {
        Write(error, output);
        output.Write("\n"u8);
    }

    /// <summary>Ollama's clients look for exactly this sentence and then offer to pull the model.</summary>
    private static string Sentence(ProxyError error) =>
        error is { Kind: ProxyErrorKind.UnknownModel, Model: { } model } ? $"model '{model}' not found" : error.Message;
}
