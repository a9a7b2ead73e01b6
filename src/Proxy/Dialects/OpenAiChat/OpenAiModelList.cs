using System.Buffers;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OpenAiChat;

/// <summary><c>GET /v1/models</c> and <c>/v1/models/{id}</c>. The context window goes by the names that clients look for: OpenRouter's and vLLM's.</summary>
internal static class OpenAiModelList
{
    public static void Write(IReadOnlyList<ModelListing> models, IBufferWriter<byte> output)
    {
        using var json = WireJson.NewWriter(output);
        json.WriteStartObject();
        json.WriteString("object"u8, "list"u8);
        json.WriteStartArray("data"u8);
        foreach (var model in models) Write(json, model);
        json.WriteEndArray();
        json.WriteEndObject();
    }

    public static void WriteOne(ModelListing model, IBufferWriter<byte> output)
    {
        using var json = WireJson.NewWriter(output);
        Write(json, model);
    }

    private static void Write(Utf8JsonWriter json, ModelListing model)
    {
        json.WriteStartObject();
        json.WriteString("id"u8, model.Name);
        json.WriteString("object"u8, "model"u8);
        json.WriteNumber("created"u8, model.Created?.ToUnixTimeSeconds() ?? 0);
        json.WriteString("owned_by"u8, model.OwnedBy ?? "proxy");
        if (model.ContextLength is { } context)
        {
            json.WriteNumber("context_length"u8, context);
            json.WriteNumber("max_model_len"u8, context);
        }

        json.WriteEndObject();
    }
}
