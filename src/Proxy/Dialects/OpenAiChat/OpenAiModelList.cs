using System.Buffers;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OpenAiChat;

/// <summary>
/// <c>GET /v1/models</c> and <c>/v1/models/{id}</c>. OpenAI's format has no members for some facts; they are written under the names that clients look for: the
/// context window under the names of OpenRouter, of other proxies and of vLLM, its upper limit under LM Studio's, the load state under llama.cpp's, and an
/// alias's target under vLLM's.
/// </summary>
internal static class OpenAiModelList
{
    /// <param name="more">Writes additional members into the entry with that index.</param>
    public static void Write(IReadOnlyList<ModelListing> models, IBufferWriter<byte> output, Action<Utf8JsonWriter, int>? more = null)
    {
        using var json = WireJson.NewWriter(output);
        json.WriteStartObject();
        json.WriteString("object"u8, "list"u8);
        json.WriteStartArray("data"u8);
        for (var i = 0; i < models.Count; i++)
        {
            var index = i;
            Write(json, models[i], more is null ? null : () => more(json, index));
        }

        json.WriteEndArray();
        CodexModels.Write(json, models);
        json.WriteEndObject();
    }

    public static void WriteOne(ModelListing model, IBufferWriter<byte> output)
    {
        using var json = WireJson.NewWriter(output);
        Write(json, model);
    }

    private static void Write(Utf8JsonWriter json, ModelListing model, Action? more = null)
    {
        json.WriteStartObject();
        json.WriteString("id"u8, model.Name);
        json.WriteString("object"u8, "model"u8);
        json.WriteNumber("created"u8, model.Created?.ToUnixTimeSeconds() ?? 0);
        json.WriteString("owned_by"u8, model.OwnedBy ?? "proxy");
        json.WriteOptional("context_length"u8, model.ContextLength);
        json.WriteOptional("context_window"u8, model.ContextLength);
        json.WriteOptional("max_model_len"u8, model.ContextLength);
        json.WriteOptional("max_context_length"u8, model.ContextLimit);
        json.WriteTexts("capabilities"u8, model.Capabilities);
        if (model.Loaded is { } loaded) json.WriteObject("status"u8, "value"u8, loaded ? "loaded" : "unloaded");
        json.WriteOptional("root"u8, model.Resolved);
        more?.Invoke();
        json.WriteEndObject();
    }
}
