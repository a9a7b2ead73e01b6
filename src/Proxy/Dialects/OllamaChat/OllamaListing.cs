using System.Buffers;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OllamaChat;

/// <summary>
/// <c>/api/tags</c>, <c>/api/ps</c> and <c>/api/version</c>. Every member that a client has been seen to require is there, if empty.
/// </summary>
internal static class OllamaListing
{
    /// <summary>What <c>/api/version</c> says: the Ollama whose API this is. Clients refuse below 0.6.4 and take the lowest of all their hosts.</summary>
    public const string Version = """{"version":"0.12.11"}""";

    public static void WriteTags(IReadOnlyList<ModelListing> models, IBufferWriter<byte> output) => WriteAll(models, output, static (json, model) =>
    {
        json.WriteString("modified_at"u8, Time(model.Created ?? DateTimeOffset.UnixEpoch));
        json.WriteNumber("size"u8, model.Size ?? 0);
        json.WriteString("digest"u8, Digest(model));
        WriteDetails(json, model, ofListing: true);
        if (model.Capabilities.Count > 0) WriteCapabilities(json, model);
    });

    /// <summary>What is in memory. Hosts of other dialects do not say how much of it, and until when: as long as they like, which is Ollama's year for "for ever".</summary>
    public static void WriteRunning(IReadOnlyList<ModelListing> models, DateTimeOffset now, IBufferWriter<byte> output) => WriteAll([.. models.Where(model => model.Loaded == true)], output, (json, model) =>
    {
        if (model.Traits.Running is { ValueKind: JsonValueKind.Object } running)
        {
            foreach (var member in running.EnumerateObject())
            {
                if (member.Name is not ("name" or "model")) json.WriteAsItCame(member.Name, member.Value);
            }

            return;
        }

        json.WriteNumber("size"u8, model.Size ?? 0);
        json.WriteString("digest"u8, Digest(model));
        WriteDetails(json, model, ofListing: false);
        json.WriteString("expires_at"u8, Time(now.AddYears(292)));
        json.WriteNumber("size_vram"u8, model.Size ?? 0);
        if (model.ContextLength is { } context) json.WriteNumber("context_length"u8, context);
    });

    /// <summary>With an offset in digits and six places: what the date parsers of all clients take.</summary>
    public static string Time(DateTimeOffset time) => time.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss.ffffff'+00:00'", CultureInfo.InvariantCulture);

    /// <summary>Clients use it as a key. Where the host has none, it is made of the name.</summary>
    private static string Digest(ModelListing model) => model.Digest ?? Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(model.Name)));

    public static void WriteCapabilities(Utf8JsonWriter json, ModelListing model)
    {
        json.WriteStartArray("capabilities"u8);
        foreach (var capability in model.Capabilities) json.WriteStringValue(capability);
        json.WriteEndArray();
    }

    /// <summary>As the host wrote it; otherwise what is known. An alias names the model that it stands for as its parent, as Ollama does for a model made from another.</summary>
    public static void WriteDetails(Utf8JsonWriter json, ModelListing model, bool ofListing)
    {
        if (model is { Details: { } details, Resolved: null })
        {
            json.WriteAsItCame("details", details);
            return;
        }

        var traits = model.Traits;
        var family = traits.Architecture ?? "";
        json.WriteStartObject("details"u8);
        json.WriteString("parent_model"u8, model.Resolved ?? "");
        json.WriteString("format"u8, traits.Format ?? "");
        json.WriteString("family"u8, family);
        json.WriteStartArray("families"u8);
        if (family.Length > 0) json.WriteStringValue(family);
        json.WriteEndArray();
        json.WriteString("parameter_size"u8, traits.ParameterSize ?? "");
        json.WriteString("quantization_level"u8, traits.Quantization ?? "");
        if (ofListing && (model.ContextLimit ?? model.ContextLength) is { } context) json.WriteNumber("context_length"u8, context);
        if (ofListing && traits.EmbeddingLength is { } length) json.WriteNumber("embedding_length"u8, length);
        json.WriteEndObject();
    }

    private static void WriteAll(IReadOnlyList<ModelListing> models, IBufferWriter<byte> output, Action<Utf8JsonWriter, ModelListing> write)
    {
        using var json = WireJson.NewWriter(output);
        json.WriteStartObject();
        json.WriteStartArray("models"u8);
        foreach (var model in models)
        {
            json.WriteStartObject();
            json.WriteString("name"u8, model.Name);
            json.WriteString("model"u8, model.Name);
            write(json, model);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteEndObject();
    }
}
