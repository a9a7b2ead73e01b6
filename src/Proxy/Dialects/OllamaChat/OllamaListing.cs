using System.Buffers;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OllamaChat;

/// <summary><c>/api/tags</c> and <c>/api/version</c>. Every member that a client has been seen to require is there, if empty.</summary>
internal static class OllamaListing
{
    /// <summary>What <c>/api/version</c> says: the Ollama whose API this is. Clients refuse below 0.6.4 and take the lowest of all their hosts.</summary>
    public const string Version = """{"version":"0.12.11"}""";

    private static readonly string[] DetailNames = ["parent_model", "format", "family", "parameter_size", "quantization_level"];

    public static void WriteTags(IReadOnlyList<ModelListing> models, IBufferWriter<byte> output)
    {
        using var json = WireJson.NewWriter(output);
        json.WriteStartObject();
        json.WriteStartArray("models"u8);
        foreach (var model in models) Write(json, model);
        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static void Write(Utf8JsonWriter json, ModelListing model)
    {
        json.WriteStartObject();
        json.WriteString("name"u8, model.Name);
        json.WriteString("model"u8, model.Name);
        json.WriteString("modified_at"u8, OllamaChatJson.Time(model.Created ?? DateTimeOffset.UnixEpoch));
        json.WriteNumber("size"u8, model.Size ?? 0);
        json.WriteString("digest"u8, model.Digest ?? Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(model.Name)))); // clients use it as a key
        if (model.Details is { } details) json.WriteAsItCame("details", details);
        else WriteNoDetails(json, model.ContextLength);
        if (model.Capabilities.Count > 0)
        {
            json.WriteStartArray("capabilities"u8);
            foreach (var capability in model.Capabilities) json.WriteStringValue(capability);
            json.WriteEndArray();
        }

        json.WriteEndObject();
    }

    private static void WriteNoDetails(Utf8JsonWriter json, int? contextLength)
    {
        json.WriteStartObject("details"u8);
        foreach (var name in DetailNames) json.WriteString(name, "");
        json.WriteStartArray("families"u8);
        json.WriteEndArray();
        if (contextLength is { } context) json.WriteNumber("context_length"u8, context);
        json.WriteEndObject();
    }
}
