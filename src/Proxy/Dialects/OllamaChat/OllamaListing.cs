using System.Buffers;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OllamaChat;

/// <summary><c>/api/tags</c>, <c>/api/ps</c> and <c>/api/version</c>. Every member that a known client requires is present, even if it is empty.</summary>
internal static class OllamaListing
{
    /// <summary>
    /// The answer to <c>/api/version</c>: the version of Ollama whose API this is. Clients refuse versions below 0.6.4, and use the lowest version among their
    /// hosts.
    /// </summary>
    public const string Version = """{"version":"0.12.11"}""";

    public static void WriteTags(IReadOnlyList<ModelListing> models, IBufferWriter<byte> output) => WriteAll(models, output, static (json, model) =>
    {
        json.WriteString("modified_at"u8, Time(model.Created ?? DateTimeOffset.UnixEpoch));
        json.WriteNumber("size"u8, model.Size ?? 0);
        json.WriteString("digest"u8, Digest(model));
        WriteDetails(json, model, ofListing: true);
        json.WriteTexts("capabilities"u8, model.Capabilities);
    });

    /// <summary>
    /// Writes the models in memory. Hosts of other dialects report neither how much memory a model takes nor until when it stays, so the full size is written,
    /// and now plus 292 years, which Ollama uses for "never expires".
    /// </summary>
    public static void WriteRunning(IReadOnlyList<ModelListing> models, DateTimeOffset now, IBufferWriter<byte> output) =>
        WriteAll([.. models.Where(model => model.Loaded == true)], output, (json, model) =>
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
        json.WriteOptional("context_length"u8, model.ContextLength);
    });

    /// <summary>With a numeric offset and six decimals: the one form that the date parsers of all clients accept.</summary>
    public static string Time(DateTimeOffset time) => time.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss.ffffff'+00:00'", CultureInfo.InvariantCulture);

    /// <summary>Clients use the digest as a key. If the host has none, it is the hash of the name.</summary>
    private static string Digest(ModelListing model) => model.Digest ?? Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(model.Name)));

    /// <summary>
    /// Writes the details as the host gave them, otherwise from the known traits. For an alias, <c>parent_model</c> is the model behind it, as in Ollama for a
    /// model created from another one.
    /// </summary>
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
        json.WriteList("families"u8, family.Length > 0 ? [family] : []);
        json.WriteString("parameter_size"u8, traits.ParameterSize ?? "");
        json.WriteString("quantization_level"u8, traits.Quantization ?? "");
        json.WriteOptional("context_length"u8, ofListing ? model.ContextLimit ?? model.ContextLength : null);
        json.WriteOptional("embedding_length"u8, ofListing ? traits.EmbeddingLength : null);
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
