using System.Buffers;
using System.Globalization;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.Anthropic;

/// <summary><c>GET /v1/models</c> and <c>/v1/models/{id}</c> for Anthropic's clients. All models are on one page.</summary>
internal static class AnthropicModelList
{
    public static void Write(IReadOnlyList<ModelListing> models, IBufferWriter<byte> output)
    {
        using var json = WireJson.NewWriter(output);
        json.WriteStartObject();
        json.WriteStartArray("data"u8);
        foreach (var model in models) Write(json, model);
        json.WriteEndArray();
        json.WriteBoolean("has_more"u8, false);
        json.WriteString("first_id"u8, models.Count == 0 ? null : models[0].Name);
        json.WriteString("last_id"u8, models.Count == 0 ? null : models[^1].Name);
        json.WriteEndObject();
    }

    public static void WriteOne(ModelListing model, IBufferWriter<byte> output)
    {
        using var json = WireJson.NewWriter(output);
        Write(json, model);
    }

    private static void Write(Utf8JsonWriter json, ModelListing model)
    {
        json.WriteStartOfType("model"u8);
        json.WriteString("id"u8, model.Name);
        json.WriteString("display_name"u8, model.Name);
        // the API's documentation: "an epoch value if unknown"
        json.WriteString("created_at"u8,
            (model.Created ?? DateTimeOffset.UnixEpoch).UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture));
        json.WriteString("lifecycle"u8, "active"u8);
        json.WriteOptional("max_input_tokens"u8, model.ContextLength);
        json.WriteEndObject();
    }
}
